"""Settings of the engine ``ray``: which cluster, and what a trial takes of it."""

from typing import Literal

from pydantic import Field, field_validator

from mnist_core.table import Table

_LEAST = 0.0001
"""The smallest part of a CPU or GPU that Ray can count."""


class RaySettings(Table):
    """Where the cluster is, and what one trial claims of a node of it."""

    address: str = Field("", description="empty: Ray is started here; auto or host:port: a cluster")
    cpus: float = Field(0.0, ge=0, description="of a trial; 0: engine.threads")
    gpus: float = Field(0.0, ge=0, description="of a trial, also a share of one; 0: as device says")
    memory_gib: float = Field(0.0, ge=0, description="main memory that a trial claims; 0: none")
    wait_seconds: float = Field(
        30.0, ge=0, description="for a node with room for a trial, then it is an error"
    )
    scheduler: Literal["book", "asha", "pbt"] = Field(
        "book",
        description="who stops trials: book (search.pruner) or Tune's ASHA; pbt: population",
    )
    asha_grace: int = Field(1, ge=1, description="asha: reports that every trial makes")
    asha_factor: float = Field(4.0, gt=1, description="asha: one of so many goes on at a rung")
    pbt_interval: int = Field(2, ge=1, description="pbt: epochs of a generation")
    pbt_quantile: float = Field(
        0.25, gt=0, le=0.5, description="pbt: so many copy, and so many are copied from"
    )
    pbt_resample: float = Field(
        0.25,
        ge=0,
        le=1,
        description="pbt: share of values drawn anew; others: times 0.8 or 1.2",
    )

    @field_validator("cpus", "gpus")
    @classmethod
    def _counted(cls, value: float) -> float:
        if 0 < value < _LEAST:
            raise ValueError(f"0, or at least {_LEAST}, the smallest share that Ray counts")
        return value

    @field_validator("gpus")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value > 1 and value % 1:
            raise ValueError("a share of one GPU, or several whole ones")
        return value
