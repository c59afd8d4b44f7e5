"""Intervals of a mean and of a difference of two, over a few seeds.

All are Student t intervals at 95 %. They cover the randomness of training, but not the choice of
the images, nor the luck of the search. They judge two configurations or studies; the verdicts on
all choices of a study are in ``verdicts.py``.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mnist_core.comparison.spread import difference, rounding_error, t_quantile

CONFIDENCE = 0.95
Direction = Literal["maximize", "minimize"]


def sign_of(direction: Direction) -> float:
    """Return 1 where a larger value is better, else -1."""
    return 1.0 if direction == "maximize" else -1.0


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its t interval.

    Attributes:
        n: number of values, >= 1.
        mean: their mean.
        sd: sample standard deviation (n - 1); NaN for n = 1.
        low: lower end; -inf for n = 1, where nothing can be said.
        high: upper end; inf for n = 1.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval; inf for n = 1."""
        return (self.high - self.low) / 2

    def includes(self, value: float) -> bool:
        """Whether ``value`` lies in the interval, its ends included."""
        return self.low <= value <= self.high


def turned(one: Interval, sign: float) -> Interval:
    """Return ``one``, or its mirror image if ``sign`` is below 0."""
    if sign > 0:
        return one
    return replace(one, mean=-one.mean, low=-one.high, high=-one.low)


def warm_up() -> None:
    """Import now the module that intervals need, which takes a quarter of a second."""
    importlib.import_module("scipy.special")


def mean_interval(
    values: Sequence[float], *, confidence: float = CONFIDENCE, rounding: float = 0.0
) -> Interval:
    """Return mean, standard deviation and the two-sided t interval of ``values``.

    Args:
        values: one or more.
        confidence: in (0, 1).
        rounding: standard deviation of a value's rounding error, >= 0; the values are taken to
            spread by that at least.

    Raises:
        ValueError: if ``values`` is empty or has a value that is not finite.
    """
    if not values:
        raise ValueError("an interval needs at least one value, but got none")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"an interval needs finite values, but got {list(values)}")
    n = len(values)
    # fsum: equal values must give exactly sd = 0, not the rounding error of their mean.
    mean = values[0] + math.fsum(value - values[0] for value in values) / n
    if n == 1:
        return Interval(n=1, mean=mean, sd=math.nan, low=-math.inf, high=math.inf)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    spread = max(sd, rounding)
    half = t_quantile(n - 1, confidence) * spread / math.sqrt(n)
    return Interval(n=n, mean=mean, sd=sd, low=mean - half, high=mean + half)


def value_interval(values: Sequence[float], *, step: float = 0.0) -> Interval:
    """Return the interval of measured ``values``, read in steps of ``step`` (0: continuous)."""
    # A few seeds can give the same accuracy, which comes in steps of 1 / n images. Without a
    # rounding error (uniform over a step: step / sqrt(12); Sheppard's correction, the other way
    # round) their interval would have no width, and one image would count as proven.
    return mean_interval(values, rounding=rounding_error(step))


def paired_difference(
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    confidence: float = CONFIDENCE,
    step: float = 0.0,
) -> Interval | None:
    """Return the t interval of ``first - second`` over the seeds that both have.

    Args:
        first: values by seed.
        second: values by seed.
        confidence: in (0, 1).
        step: the values are read in steps of it; 0: they are continuous.

    Returns:
        The interval, or None if there is no common seed.
    """
    common = [seed for seed in first if seed in second]
    if not common:
        return None
    differences = [difference(second[seed], first[seed]) for seed in common]
    return mean_interval(
        differences, confidence=confidence, rounding=rounding_error(step, values=2)
    )
