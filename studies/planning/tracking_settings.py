"""Settings of the trackers: the table ``[tracking]``."""

from typing import Literal

from pydantic import Field

from mnist_core.table import Table

VARIABLE = "STUDIES_TRACKING"
"""Environment variable that gives them to a tracker's process, as JSON."""


class WandbSettings(Table):
    """Weights & Biases."""

    mode: Literal["offline", "online"] = Field(
        "offline", description="online: while the study runs, if you are logged in"
    )
    project: str = Field("mnist-studies", min_length=1)
    entity: str = Field("", description="user or team; empty: W&B's default")


class MlflowSettings(Table):
    """MLflow."""

    uri: str = Field("", description="tracking server; empty: SQLite in the study's folder")


class TrackingSettings(Table):
    """The trackers, which get the study's events."""

    trackers: list[str] = Field(
        default_factory=lambda: ["wandb"], description="wandb, tensorboard, mlflow; [] for none"
    )
    mode: Literal["trial", "study"] = Field(
        "trial", description="trial: a run for each training and one of the study; study: only this"
    )
    finish_seconds: float = Field(
        30.0, ge=0, description="longest time of a tracker after the study's end"
    )
    wandb: WandbSettings = WandbSettings()
    mlflow: MlflowSettings = MlflowSettings()
