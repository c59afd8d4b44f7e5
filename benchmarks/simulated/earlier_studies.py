"""Earlier studies that a simulated search learns from: related ones, and one that is not."""

from typing import Any

import numpy as np

from simulated.instances import Drawn, Instance, Places
from simulated.regret import run
from simulated.sampler_choosers import Product
from studies.search.earlier import EarlierStudy, EarlierTrial

TRIALS = 60
"""Of an earlier study."""


class Moved:
    """An instance seen elsewhere: what is good lies nearby, and every value is another one.

    Args:
        instance: the problem of the later study.
        shift: standard deviation of how far the best learning rate lies from there, as a fraction
            of its range: half of its variance is common to all choices.
        loss: what an accuracy loses, as a factor of the error.
    """

    def __init__(
        self, instance: Instance, choices: int, seed: int, *, shift: float = 0.1, loss: float = 2.0
    ) -> None:
        chance = np.random.default_rng((seed, 23))
        common = chance.standard_normal(2)
        own = chance.standard_normal((choices, 2))
        self._shift = shift * 0.5**0.5 * (common + own)
        self._instance, self._loss = instance, loss

    def truth(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return the true accuracy of ``points``."""
        true = self._instance.truth(choice, self._moved(choice, points))
        return 1 - np.minimum(self._loss * (1 - true), 0.89)

    def training(self, choice: int, point: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """Return the accuracy after each epoch of one training."""
        curve = self._instance.training(choice, self._moved(choice, point[None])[0], chance)
        return 1 - np.minimum(self._loss * (1 - curve), 0.89)

    def _moved(self, choice: int, points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[:, :2] = np.clip(moved[:, :2] + self._shift[choice], 0, 1)
        return moved


def earlier(kind: str, instance: Instance, places: Places, seed: int, sampler: str) -> EarlierStudy:
    """Return a study of ``TRIALS`` trials on another problem.

    Args:
        kind: ``related``: what is good lies nearby; ``unrelated``: an instance of its own, on which
            no choice tells of another; ``same``: the same problem; ``misleading``: what was good at
            a low rate is good at a high one, and the schedules have changed places.
        sampler: of the earlier study.
    """
    choices = len(places.names)
    if kind == "related":
        other: Any = Moved(instance, choices, seed)
    elif kind == "same":
        other = instance
    elif kind == "misleading":
        other = Mirrored(instance)
    else:
        other = Drawn(places, 10_000 + seed, alike=False)
    chooser = Product(places, 20_000 + seed, sampler)
    tried = run(other, places, chooser, 20_000 + seed, trials=TRIALS)
    trials = [
        EarlierTrial(
            number=number,
            params=places.params(one.choice, one.point),
            value=one.value,
            full=one.full,
        )
        for number, one in enumerate(tried)
    ]
    return EarlierStudy(study=kind, identity="", left=0, trials=trials)


class Mirrored(Moved):
    """An instance with all ranges and the schedules turned round."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance, 9, 0, loss=1.0)

    def _moved(self, choice: int, points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[:, :2] = 1 - moved[:, :2]
        moved[:, 3] = 2 - moved[:, 3]
        return moved
