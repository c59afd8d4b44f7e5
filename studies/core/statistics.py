"""Intervals of means and differences over a few seeds, and the verdict on the best choice.

All intervals are Student t intervals at 95 %. They cover the randomness of training, but not the
choice of the images, nor the luck of the search. Configurations are trained on the same seeds and
validated on the same images, so they are compared by their differences seed by seed (paired).
"""

import importlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Literal

from mnist_core.comparison.spread import difference, rounding_error, t_quantile

CONFIDENCE = 0.95
NOISY_TIMES = 5
"""A choice is noisy if its interval is more than this many times as wide as usual in the study."""
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


def noisy(intervals: Mapping[str, Interval]) -> tuple[str, ...]:
    """Return the choices whose interval is far wider than the (lower) median, e.g. 36 +- 75 %.

    Such a choice formally ties with the best, but nothing shows that it is as good.
    """
    widths = {label: one.half_width for label, one in intervals.items() if one.n > 1}
    usual = median_low(widths.values()) if widths else 0.0
    if usual == 0:
        return ()
    return tuple(label for label, width in widths.items() if width > NOISY_TIMES * usual)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which choice is best, and which choices may be as good.

    Attributes:
        best: the choice with the best mean.
        ties: the choices whose paired difference from the best has an interval that includes 0,
            or no interval at all, nearest first. Empty: ``best`` is better than every other choice.
        differences: best minus the other choice (> 0: the best has a larger metric), by choice.
    """

    best: str
    ties: tuple[str, ...]
    differences: Mapping[str, Interval | None]


def judge(
    values: Mapping[str, Mapping[int, float]],
    *,
    direction: Direction = "maximize",
    step: float = 0.0,
    stopped: Collection[str] = (),
    failed: Collection[str] = (),
) -> Verdict | None:
    """Return the best choice by its mean, and the choices that it ties with.

    Args:
        values: for each choice its metric by seed; choices without a value are ignored.
        direction: whether a larger or a smaller metric is better.
        step: the values are read in steps of it; 0: they are continuous.
        stopped: choices that a race has stopped. They have fewer seeds, so they are compared by
            their paired differences only, and none of them is the best.
        failed: choices that failed on some seeds and may have been lucky on the rest. None of them
            is the best, unless all choices failed; then one with values on most seeds is.

    Returns:
        The verdict, or None if no choice has a value, apart from stopped ones.
    """
    # No correction for the number of comparisons: "X is the best" is claimed only if X differs from
    # every other choice (an intersection-union test, Berger 1982). Simulated 20,000 times with nine
    # equal choices (normal values, three seeds): a sole best was never claimed, but an equal choice
    # was excluded from the tie in 9 % of the comparisons, and one of the eight in 48 % of studies.
    sign = sign_of(direction)
    means = {
        choice: sign * mean_interval(list(by_seed.values())).mean
        for choice, by_seed in values.items()
        if by_seed
    }
    ranked = sorted(means, key=means.__getitem__, reverse=True)
    able = [choice for choice in ranked if choice not in stopped]
    if not able:
        return None
    sound = [choice for choice in able if choice not in failed]
    best = sound[0] if sound else max(able, key=lambda choice: len(values[choice]))
    others = [choice for choice in ranked if choice != best]
    differences = {
        choice: paired_difference(values[best], values[choice], step=step) for choice in others
    }
    ties = tuple(choice for choice, gap in differences.items() if gap is None or gap.includes(0.0))
    return Verdict(best=best, ties=ties, differences=differences)


def welch(first: Sequence[float], second: Sequence[float], *, rounding: float = 0.0) -> Interval:
    """Return the 95 % interval of the difference ``second - first`` of independent means.

    Welch 1947, doi:10.1093/biomet/34.1-2.28. ``n`` is the smaller number of values; ``rounding`` is
    as in ``mean_interval``.
    """
    one, two = mean_interval(first), mean_interval(second)
    mean, n = two.mean - one.mean, min(one.n, two.n)
    if n == 1:
        return Interval(n=1, mean=mean, sd=math.nan, low=-math.inf, high=math.inf)
    parts = [max(each.sd, rounding) ** 2 / each.n for each in (one, two)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(n=n, mean=mean, sd=0.0, low=mean, high=mean)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1))
    half = t_quantile(freedom, CONFIDENCE) * error
    return Interval(n=n, mean=mean, sd=error, low=mean - half, high=mean + half)
