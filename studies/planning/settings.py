"""Settings of a run and their defaults; ``conf.toml`` explains each.

A setting has the same dotted name everywhere, e.g. ``search.trials``: in ``conf.toml``, in a
study's ``fixed`` and ``quick``, and after ``--set``.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mnist_core.table import Table
from objectives.trainer.settings import TrainerSettings
from studies.planning.ray_settings import RaySettings
from studies.planning.tracking_settings import TrackingSettings

SET = "--set"  # the source of settings that the command line gave

RECORDED = "the study's record"
"""The source of settings that a study was run with, where they would differ now."""

CONF = Path("conf.toml")
"""Read from the working directory unless ``--conf`` names another; may be missing."""

OPTIONS = tuple(
    f"search.{name}" for name in ("sampler_options", "pruner_options", "objectives", "constraints")
)
"""Tables whose keys are free; Optuna checks them, or ``studies/core/goals.py``."""


MODEL = "train.model"
"""The table to which a model's file may add settings of its own."""


def default_conf() -> str:
    """Return the text of a ``conf.toml`` that has every default, with a comment."""
    # In a checkout it is a link to the file at the top; a wheel has the file itself.
    return resources.files("studies").joinpath(CONF.name).read_text(encoding="utf-8")


class StopSettings(Table):
    """When the search ends early; running trials finish."""

    seconds: float = Field(0.0, ge=0, description="wall time of this run's search; 0: no limit")
    epochs: float = Field(0.0, ge=0, description="trained by all trials together; 0: no limit")
    failed_share: float = Field(
        1.0, ge=0, le=1, description="fraction of this run's trials that failed; 0: no limit"
    )
    failed_after: int = Field(10, ge=1, description="trials before failed_share applies")
    target: float | None = Field(None, description="a value of the metric; left out: none")
    patience: int = Field(0, ge=0, description="trials without a better one; 0: no limit")
    regret: float = Field(
        0.0, ge=0, description="gain that Optuna's terminator still expects; 0: not asked"
    )


class SearchSettings(Table):
    """The search."""

    seed: int = Field(0, ge=0, lt=2**63, description="seed of the sampler and of all trials' seeds")
    trials: int | None = Field(None, ge=1, le=1_000_000, description="left out: the study's own")
    trials_complete: int | None = Field(
        None, ge=1, le=100_000, description="that run their full budget; then the search ends"
    )
    trials_per_choice: int | None = Field(None, ge=0, description="left out: the study's own")
    order: Literal["async", "batch"] = "async"
    batch: int = Field(8, ge=1, le=10_000, description="trials of a batch in batch order")
    sampler: str = Field("tpe", min_length=1)
    sampler_options: dict[str, Any] = Field(default_factory=dict)
    pruner: str = Field("median", min_length=1)
    pruner_options: dict[str, Any] = Field(default_factory=dict)
    sentinels: float = Field(
        0.0, ge=0, description="trials that run unpruned, to audit the pruner; below 1: fraction"
    )
    objectives: dict[str, Literal["maximize", "minimize"]] = Field(default_factory=dict)
    constraints: dict[str, float] = Field(default_factory=dict, description="upper limits")
    enqueue: list[str] = Field(
        default_factory=list, description="TOML files of configurations to try first"
    )
    imports: list[str] = Field(
        default_factory=list, description="CSV files of results that teach the sampler"
    )
    learn_from: list[str] = Field(
        default_factory=list, description="earlier studies that the search learns from; all"
    )
    retries: int = Field(2, ge=0, le=100, description="of a trial that was lost with its worker")
    stop: StopSettings = StopSettings()


class ConfirmSettings(Table):
    """The confirmation of the found configurations."""

    front: int = Field(8, ge=1, description="at most this many of a Pareto front")
    seeds: int | None = Field(None, ge=2, le=1000, description="left out: the study's own")
    top: int = Field(2, ge=1, le=8, description="best configurations of each choice that race")
    racing: bool = Field(False, description="clear losers get fewer seeds")


class EngineSettings(Table):
    """Where trials run."""

    name: str = Field("local", min_length=1)
    workers: int = Field(0, ge=0, le=1024, description="worker processes; 0: by the machine")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads a worker; 0: cores / workers")
    affinity: bool = Field(True, description="each worker on cores of its own, when all are used")
    trial_seconds: float = Field(0.0, ge=0, description="wall time of one attempt; 0: no limit")
    trial_memory_gib: float = Field(
        0.0, ge=0, description="main memory of a worker and its child processes; 0: no limit"
    )
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="least time between two saved states of a trial; 0: never saved"
    )
    stack: Literal["measured", "always"] = Field(
        "measured", description="fused: share steps where that is faster, or always"
    )
    ray: RaySettings = RaySettings()


class StorageSettings(Table):
    """The database."""

    url: str = Field("", description="empty: an SQLite file in the study's folder")


class ResultsSettings(Table):
    """The files."""

    folder: str = Field("results", min_length=1)


class Settings(Table):
    """All settings of one run."""

    # Only this module of ``studies/`` names the trainer's settings: ``conf.toml`` has them beside
    # the study's own, so their names and types must be known before there is a study.
    train: TrainerSettings = TrainerSettings()
    search: SearchSettings = SearchSettings()
    confirm: ConfirmSettings = ConfirmSettings()
    engine: EngineSettings = EngineSettings()
    storage: StorageSettings = StorageSettings()
    results: ResultsSettings = ResultsSettings()
    tracking: TrackingSettings = TrackingSettings()

    @property
    def population(self) -> bool:
        """Whether the trials of the search are members of a population."""
        return self.engine.ray.scheduler == "pbt"


def own_model_options(settings: Settings) -> list[str]:
    """Return the full dotted names of the settings that only the model's own file knows."""
    return [f"{MODEL}.{name}" for name in settings.train.model.model_extra or {}]


def full_name(name: str) -> str:
    """Return the full dotted name of setting ``name``, which may lack ``train.``."""
    return f"train.{name}" if name.partition(".")[0] in TrainerSettings.model_fields else name


def short_name(key: str) -> str:
    """Return the shortest name of a setting: the trainer's without ``train.``."""
    return key.removeprefix("train.")


def setting_of(settings: Any, key: str) -> Any:
    """Return the setting ``key``, dotted, of ``settings`` or nested tables; None: there is none."""
    for part in key.split("."):
        is_table = isinstance(settings, Mapping)
        settings = settings.get(part) if is_table else getattr(settings, part, None)
    return settings


def put_setting(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set the setting ``key``, dotted, in nested tables."""
    *parents, leaf = key.split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
    tables[leaf] = value
