"""What comparisons of trainings and of studies rest on: rounding, Student's t, the verdict."""

import math
from dataclasses import dataclass
from typing import Literal

ROUNDING = 1e-9
"""Differences are compared up to this: 0.3 read from a file is not above a tolerance of 0.3."""


Outcome = Literal["identical", "equal", "no difference shown", "undecided", "different"]


@dataclass(frozen=True)
class Verdict:
    """What a comparison comes to, and why."""

    outcome: Outcome
    reason: str

    @property
    def equal(self) -> bool:
        """Whether A and B pass for equal: the command's exit code is 0."""
        return self.outcome not in ("undecided", "different")

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return f"{self.outcome}: {self.reason}"


def outcome_of(low: float, high: float, tolerance: float | None = None) -> Outcome:
    """Return what the interval of a difference, from ``low`` to ``high``, shows.

    ``tolerance`` is the largest difference that counts as equal; None: 0 must lie in the interval.
    """
    if tolerance is None:
        return "no difference shown" if low <= ROUNDING and high >= -ROUNDING else "different"
    if within(low, tolerance) and within(high, tolerance):
        return "equal"
    apart = (low > 0 and not within(low, tolerance)) or (high < 0 and not within(high, tolerance))
    # An interval that reaches across the tolerance shows neither: more seeds would make it shorter.
    return "different" if apart else "undecided"


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
