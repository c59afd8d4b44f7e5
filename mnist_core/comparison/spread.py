"""What every comparison of trainings rests on: Student's t, rounding to whole images, equality."""

import math

ROUNDING = 1e-9
"""Differences are compared up to this: 0.3 read from a file is not above a tolerance of 0.3."""


def t_quantile(freedom: float, confidence: float = 0.95) -> float:
    """Return how many standard errors a two-sided interval of ``confidence`` reaches."""
    # Not scipy.stats, which takes twice as long to import.
    from scipy import special  # type: ignore[import-untyped]

    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def rounding_error(step: float, *, values: int = 1) -> float:
    """Return the standard deviation of the rounding error of a sum or difference of ``values``.

    Each is read in steps of ``step`` (0: continuous), so its error is uniform over one step.
    """
    return step / math.sqrt(12 / values)


def difference(a: float, b: float) -> float:
    """Return B less A, rounded far below any metric's resolution: 0.1 + 0.2 - 0.3 counts as 0."""
    return round(b - a, 12)


def within(gap: float, tolerance: float) -> bool:
    """Whether ``gap``, of either sign, is not above ``tolerance``."""
    return abs(gap) <= tolerance + ROUNDING
