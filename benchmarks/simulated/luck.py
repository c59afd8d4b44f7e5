"""Searches that find something else each time: what the best trials of a choice are truly worth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
TRIALS = 5
"""Trials of each choice in a study."""
NOISE = 0.3
"""Error of a search value, in points: one seed, and the images."""
SD = 0.25
"""Standard deviation of a confirmed value over seeds."""
SEEDS = 4
FIRST_SEEDS = 2
"""Seeds on which the two best configurations of a choice race."""


@dataclass(frozen=True)
class Searched:
    """What the studies found for each choice.

    Attributes:
        worth: what the configuration that leads is truly worth, ``[studies, choices]``.
        confirmed: its values and those of the runner-up, ``[studies, choices, 2, SEEDS]``; a study
            has the runner-up's on the first seeds only.
        search: the two best search values, ``[studies, choices, 2]``.
    """

    worth: Array
    confirmed: Array
    search: Array

    def shifted(self, by: Array) -> "Searched":
        """Return the same with each choice's values moved by ``by`` ``[choices]``."""
        return Searched(
            self.worth + by,
            self.confirmed + by[:, None, None],
            self.search + by[:, None],
        )


def results(rng: np.random.Generator, kind: str, studies: int, scale: Array) -> Searched:
    """Search each choice of each study, and confirm its two best configurations.

    The one with the better mean on the first seeds leads. Here it is the mean of the values that
    judge, the worst case: a study of images leads by its validation images.
    """
    shape = (studies, len(scale), TRIALS)
    if kind == "normal":
        worth = rng.standard_normal(shape)
    elif kind == "exponential":
        worth = -rng.exponential(1, shape)
    else:
        weights = np.array([1, 0.5, 0.25, 0.1])
        worth = -(rng.uniform(-1, 1, (*shape, 4)) ** 2 * weights).sum(axis=-1)
    worth = scale[:, None] * worth
    seen = worth + NOISE * rng.standard_normal(shape)
    order = np.argsort(-seen, axis=2)[:, :, :2]
    worth, seen = (np.take_along_axis(of, order, axis=2) for of in (worth, seen))
    confirmed = worth[..., None] + SD * rng.standard_normal((*worth.shape, SEEDS))
    lead = np.argsort(-confirmed[..., :FIRST_SEEDS].mean(axis=-1), axis=2)
    worth = np.take_along_axis(worth, lead, axis=2)
    confirmed = np.take_along_axis(confirmed, lead[..., None], axis=2)
    return Searched(worth[:, :, 0], confirmed, seen)


def calibrated(kind: str, sd: float, ratio: float, choices: int) -> tuple[Array, Array]:
    """Return each choice's scale, so that results vary by ``sd`` on average, and their means."""
    rng = np.random.default_rng(5)
    scale = np.geomspace(ratio**-0.5, ratio**0.5, choices)
    for _ in range(12):
        worth = results(rng, kind, 4000, scale).worth
        scale = scale * sd / np.sqrt(worth.var(axis=0).mean())
    return scale, results(rng, kind, 20_000, scale).worth.mean(axis=0)
