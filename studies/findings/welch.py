"""The difference of two means whose values are not paired."""

import math
from collections.abc import Sequence

from studies.findings.statistics import CONFIDENCE, Interval, mean_interval


def welch(first: Sequence[float], second: Sequence[float], *, rounding: float = 0.0) -> Interval:
    """Return the 95 % interval of the difference ``second - first`` of independent means.

    Welch 1947, doi:10.1093/biomet/34.1-2.28. ``n`` is the smaller number of values.

    Args:
        first: one value or more.
        second: one value or more.
        rounding: as in ``mean_interval``.
    """
    one, two = mean_interval(first), mean_interval(second)
    mean, n = two.mean - one.mean, min(one.n, two.n)
    if n == 1:
        return Interval(n=1, mean=mean, sd=math.nan, low=-math.inf, high=math.inf)
    from scipy import special  # type: ignore[import-untyped]

    parts = [max(each.sd, rounding) ** 2 / each.n for each in (one, two)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(n=n, mean=mean, sd=0.0, low=mean, high=mean)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1))
    half = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Interval(n=n, mean=mean, sd=error, low=mean - half, high=mean + half)
