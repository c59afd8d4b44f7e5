"""Settings of the engine ``ray``: the cluster, and what a trial claims of it."""

from typing import Literal

from pydantic import Field, field_validator

from mnist_core.table import Table

_LEAST = 0.0001  # the smallest fraction of a CPU or GPU that Ray can count


class RaySettings(Table):
    """The cluster, and what one trial claims of a node."""

    address: str = Field("", description="empty: Ray is started here; auto or host:port: a cluster")
    cpus: float = Field(0.0, ge=0, description="of a trial; 0: engine.threads")
    gpus: float = Field(0.0, ge=0, description="of a trial, also a fraction; 0: as device says")
    memory_gib: float = Field(0.0, ge=0, description="main memory that a trial claims; 0: none")
    wait_seconds: float = Field(
        30.0, ge=0, description="longest wait for a node with room for a trial"
    )
    scheduler: Literal["book", "asha", "pbt"] = Field(
        "book",
        description="who stops trials: book (search.pruner) or Tune's ASHA; pbt: population",
    )
    asha_grace: int = Field(1, ge=1, description="asha: reports that every trial makes")
    asha_factor: float = Field(4.0, gt=1, description="asha: reduction factor")
    pbt_interval: int = Field(2, ge=1, description="pbt: epochs of a generation")
    pbt_quantile: float = Field(
        0.25, gt=0, le=0.5, description="pbt: fraction that copies, and that is copied"
    )
    pbt_resample: float = Field(
        0.25,
        ge=0,
        le=1,
        description="pbt: fraction of values sampled again; the rest: times 0.8 or 1.2",
    )

    @field_validator("cpus", "gpus")
    @classmethod
    def _counted(cls, value: float) -> float:
        if 0 < value < _LEAST:
            raise ValueError(f"0, or at least {_LEAST}, the smallest fraction that Ray counts")
        return value

    @field_validator("gpus")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value > 1 and value % 1:
            raise ValueError("a fraction of a GPU, or whole GPUs")
        return value
