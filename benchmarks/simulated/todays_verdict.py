"""The verdict as it was before December 2026, the peer of ``verdicts.py``: many studies at once.

Each choice is compared with the one of the best mean by a two-sided 95 % t interval of the paired
differences; an interval that includes 0 is a tie. The intervals of the means are t intervals of
each choice alone. Nothing is pooled, and nothing corrected for the number of comparisons or looks.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Today:
    """Verdicts on ``values`` ``[studies, choices, seeds]``.

    Attributes:
        best: the choice with the best mean, int ``[studies]``.
        worse: whether a choice is called worse, bool ``[studies, choices]``.
        low: lower ends of the means' intervals.
        high: upper ends.
    """

    best: npt.NDArray[np.intp]
    worse: npt.NDArray[np.bool_]
    low: Array
    high: Array

    @property
    def sole(self) -> npt.NDArray[np.bool_]:
        """Whether all choices but the best are worse."""
        return self.worse.sum(axis=1) == self.worse.shape[1] - 1


def judge(values: Array) -> Today:
    """Return the verdicts, a larger value is better."""
    means = values.mean(axis=2)
    best = means.argmax(axis=1)
    low = paired(values, np.take_along_axis(values, best[:, None, None], axis=1))[0]
    worse = low > 0
    np.put_along_axis(worse, best[:, None], False, axis=1)
    half = _quantile(values.shape[2]) * values.std(axis=2, ddof=1) / np.sqrt(values.shape[2])
    return Today(best=best, worse=worse, low=means - half, high=means + half)


def paired(values: Array, better: Array) -> tuple[Array, Array]:
    """Return the ends of the intervals of ``better - values``, paired along the last axis."""
    gaps = better - values
    n = gaps.shape[-1]
    half = _quantile(n) * gaps.std(axis=-1, ddof=1) / np.sqrt(n)
    return gaps.mean(axis=-1) - half, gaps.mean(axis=-1) + half


def _quantile(n: int) -> float:
    from scipy import special

    return float(special.stdtrit(n - 1, 0.975))
