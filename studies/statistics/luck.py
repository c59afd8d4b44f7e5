"""The luck of the search: how much another search would have changed a choice's result."""

import math
from collections.abc import Collection, Mapping

from studies.statistics.intervals import Direction, sign_of
from studies.statistics.pooled import Pool, pool

LUCK_STANDS_OUT = 0.01
"""As ``STANDS_OUT``, for luck: its distribution has long tails, so a stricter level."""

BETTER_OF_TWO = 1 - 1 / math.pi
"""Variance of the better of two normal results, by that of a single one (David & Nagaraja, Order
Statistics, 2003, 3.2.2). Without it confirmed runners-up would cost power: their choice's result is
the better of the two, but half the squared difference is the variance of either."""


def search_luck(
    pairs: Mapping[str, tuple[float, float]], *, raced: bool = False, step: float = 0.0
) -> Pool:
    """Return the variance of what another search would have come to, pooled over the choices.

    It has the error of one such result in it. ``pairs`` and ``raced`` are as for ``judge_choices``.
    """
    values = {choice: dict(enumerate(pair)) for choice, pair in pairs.items()}
    if raced:
        for two in values.values():
            less = (1 - math.sqrt(BETTER_OF_TWO)) * (two[0] - two[1]) / 2
            two[0], two[1] = two[0] - less, two[1] + less
    return pool(values, step=step, level=LUCK_STANDS_OUT)


def bootstrap_luck(values: Collection[float], *, direction: Direction = "maximize") -> float:
    """Return the standard deviation of the best of a choice's trials when they are resampled.

    For the table: it needs no further training. It is exact, without random numbers: of ``n``
    values the ``r``-th best is the best one drawn with the probability ``((n - r + 1) / n)**n -
    ((n - r) / n)**n``. For normal trials it is a quarter too small, as no draw is better than the
    best trial, so it decides nothing.
    """
    sign, n = sign_of(direction), len(values)
    if n < 2:
        return math.nan
    ranked = sorted((sign * value for value in values), reverse=True)
    weights = [((n - r) / n) ** n - ((n - r - 1) / n) ** n for r in range(n)]
    mean = math.fsum(weight * value for weight, value in zip(weights, ranked, strict=True))
    spread = math.fsum(w * (value - mean) ** 2 for w, value in zip(weights, ranked, strict=True))
    return math.sqrt(spread)
