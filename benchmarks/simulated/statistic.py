"""Medians of times, some of them infinite, and how sure they are."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

DRAWS = 4000


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median by order statistics, which assumes no distribution.

    Conover, Practical Nonparametric Statistics, 1999, section 3.2. With fewer than 6 values there
    is none, and it is the range.
    """
    ordered, n = sorted(values), len(values)
    rank = int(binom.ppf(0.025, n, 0.5))
    return (ordered[rank - 1], ordered[n - rank]) if rank > 0 else (ordered[0], ordered[-1])


def ratio(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratio of the medians and its 95 % percentile bootstrap interval.

    Both are drawn anew independently: equal seeds of different searches have nothing in common. Two
    infinite medians count as equal.
    """
    chance = np.random.default_rng(0)

    def medians(values: Sequence[float]) -> np.ndarray:
        drawn = chance.choice(np.array(values), (DRAWS, len(values)))
        return np.sort(drawn, axis=1)[:, [(len(values) - 1) // 2, len(values) // 2]].mean(axis=1)

    with np.errstate(invalid="ignore"):
        drawn = medians(ours) / medians(others)
    drawn = np.sort(np.nan_to_num(drawn, nan=1.0, posinf=math.inf))  # both never: equal
    low, high = drawn[[int(0.025 * DRAWS), int(0.975 * DRAWS) - 1]]
    above, below = statistics.median(ours), statistics.median(others)
    found = 1.0 if math.isinf(above) and math.isinf(below) else above / below
    return found, float(low), float(high)
