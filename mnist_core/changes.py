"""Settings that change while a training runs: ``[[changes]]`` of its configuration.

Each has ``epoch = N`` (after N epochs) and new values, e.g. ``optim.lr = 0.001``, which hold until
they change again. A schedule continues as a factor of the new ``optim.lr``.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_serializer, model_validator

from mnist_core.optim import OptimConfig
from mnist_core.table import Table, flatten, unknown_setting

CHANGEABLE = (
    "label_smoothing",
    "grad_clip",
    *(f"optim.{name}" for name in OptimConfig.setting_names() if name != "name"),
    *(
        f"augment.{name}"
        for name in ("shift", "rotate", "scale", "shear", "affine_p", "elastic", "elastic_sigma")
    ),
    *(f"augment.{name}" for name in ("blur_p", "blur_low", "blur_high", "erase_p", "erase_area")),
)
"""Settings that can change midway, all of them numbers."""


class Change(Table):
    """New values of some settings; written as one table of ``epoch`` and dotted or nested names."""

    epoch: int = Field(ge=1, description="number of finished epochs at which it applies")
    settings: tuple[tuple[str, float], ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        named = flatten({name: value for name, value in values.items() if name != "epoch"})
        given = {"epoch": values["epoch"]} if "epoch" in values else {}
        return {**given, "settings": tuple(sorted(named.items()))}

    @field_validator("settings")
    @classmethod
    def _can_change(cls, settings: tuple[tuple[str, float], ...]) -> Any:
        for name, _ in settings:
            if name not in CHANGEABLE:
                raise ValueError(unknown_setting(name, CHANGEABLE, CHANGEABLE))
        return settings

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"epoch": self.epoch, **dict(self.settings)}


def so_far(settings: Mapping[str, Any], epochs: float) -> dict[str, Any]:
    """Leave out the changes that a training has not seen after ``epochs`` epochs."""
    seen = [one for one in settings.get("changes", ()) if one["epoch"] < epochs]
    rest = {name: value for name, value in settings.items() if name != "changes"}
    return {**rest, "changes": seen} if seen else rest
