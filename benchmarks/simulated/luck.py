"""Searches that find something else each time: what the best trials of a choice are truly worth."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
TRIALS = 5
"""Trials of each choice in a study."""
NOISE = 0.3
"""Error of a search value, in points: one seed, and the images."""


def results(rng: np.random.Generator, kind: str, studies: int, scale: Array) -> Array:
    """Return the true worth of the two trials that look best: ``[studies, choices, 2]``."""
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
    return np.take_along_axis(worth, order, axis=2)


def calibrated(kind: str, sd: float, ratio: float, choices: int) -> tuple[Array, Array]:
    """Return each choice's scale, so that results vary by ``sd`` on average, and their means."""
    rng = np.random.default_rng(5)
    scale = np.geomspace(ratio**-0.5, ratio**0.5, choices)
    for _ in range(12):
        best = results(rng, kind, 4000, scale)[:, :, 0]
        scale = scale * sd / np.sqrt(best.var(axis=0).mean())
    return scale, results(rng, kind, 20_000, scale)[:, :, 0].mean(axis=0)
