"""Trainings by which the time to an accuracy is measured."""

from dataclasses import dataclass, field
from typing import Any

from mnist_core import presets
from mnist_core.config import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """A training, as settings.

    Attributes:
        about: what it is, one line.
        settings: of a ``TrainConfig``, by their dotted names.
    """

    about: str
    settings: dict[str, Any] = field(default_factory=dict)


FAST99 = "fast99"

RECIPES = {
    # A stand-in until there is a preset of this name, which is then taken.
    FAST99: Recipe(
        "two epochs of net: adamw 0.012 one-cycle, weight decay 0.05, batches of 128",
        {
            "model.name": "net",
            "optim.name": "adamw",
            "optim.lr": 0.012,
            "optim.weight_decay": 0.05,
            "schedule.name": "one_cycle",
            "batch_size": 128,
            "epochs": 2,
        },
    )
}


def config(name: str) -> tuple[str, TrainConfig]:
    """Return what the recipe is and its settings: a preset's, or those above."""
    if name in presets.names():
        preset = presets.load(name)
        return f"preset {name}: {preset.about.title}", preset.config
    recipe = RECIPES[name]
    return recipe.about, TrainConfig().override(recipe.settings)
