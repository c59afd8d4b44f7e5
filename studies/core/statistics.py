"""Intervals and the verdict: what a handful of fresh seeds allows to say, and no more.

Every confirmed configuration is trained on the same seeds and validated on the same images, so two
configurations are compared by their differences seed by seed (paired). All intervals are Student t
intervals at 95 %. They cover the randomness of training (initial weights, order of the images,
augmentation); they do not cover the choice of the images, nor the luck of the search that found the
configuration.

A few seeds can give the very same value: an accuracy on n images comes in steps of 1 / n. Their
interval would have no width, and a difference of one image would count as proven. So a value that
is read in steps is taken to be uncertain by a rounding error at least (uniform over one step:
standard deviation step / sqrt(12); for a difference of two, step / sqrt(6); Sheppard's correction,
the other way round). With one image in a thousand as the step and three seeds, that is an interval
of +-0.10 % for a difference.

No correction for the number of comparisons is made. The claim "X is the best" needs none: it is
made only if X differs from *every* other choice (an intersection-union test, Berger 1982). A single
exclusion from the tie, read on its own, is weaker evidence, the more so as the best is picked on
the same seeds. Simulated 20,000 times with nine equal choices (normal values, three seeds): a sole
best one was claimed never, but an equal was left out of the tie in 9 % of the comparisons, and at
least one of the eight in 48 % of the studies.
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
"""A choice is noisy if its interval is more than so many times as wide as is usual in the study."""
Direction = Literal["maximize", "minimize"]


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
    """Import now what an interval needs, which takes a quarter of a second."""
    importlib.import_module("scipy.special")


def mean_interval(
    values: Sequence[float], *, confidence: float = CONFIDENCE, rounding: float = 0.0
) -> Interval:
    """Return mean, standard deviation and the two-sided t interval of ``values``.

    Args:
        values: one or more.
        confidence: of the interval, in (0, 1).
        rounding: standard deviation of a value's rounding error, >= 0; the interval is as wide as
            if the values differed by that at least. See the module's text.

    Raises:
        ValueError: ``values`` is empty or holds a value that is not finite.
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
        confidence: of the interval, in (0, 1).
        step: the values are read in steps of it, 0: they are continuous.

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
    """Name the choices whose seeds differ so much that they say nothing, e.g. 36 +- 75 %.

    Such an interval includes nearly everything, so formally the choice ties with the best; but
    what is not known is not the same. Noisy is an interval more than ``NOISY_TIMES`` times as wide
    as the usual one, the (lower) median of all choices.
    """
    widths = {label: one.half_width for label, one in intervals.items() if one.n > 1}
    usual = median_low(widths.values()) if widths else 0.0
    if usual == 0:
        return ()
    return tuple(label for label, width in widths.items() if width > NOISY_TIMES * usual)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which choice is best, and whom it cannot be told apart from.

    Attributes:
        best: the choice with the best mean.
        ties: the choices whose paired difference from the best has an interval that includes 0,
            or no interval at all, nearest first. Empty: ``best`` is better than every other choice.
        differences: best minus the other (so > 0 means a larger metric), by choice.
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
    """Pick the best choice by its mean and find those it ties with; see the module's text.

    Args:
        values: for each choice its metric by seed; choices without any value are left aside.
        direction: whether a larger or a smaller metric is better.
        step: the values are read in steps of it, 0: they are continuous.
        stopped: choices that a race has stopped: they have fewer seeds than the others, so their
            mean is not compared, and none of them is the best; their paired difference is.
        failed: choices that failed on some seeds, and may have been lucky on the others: none of
            them is the best, unless all failed somewhere; then one with values on most seeds is.

    Returns:
        The verdict, or None if no choice (that was not stopped) has a value.
    """
    sign = 1.0 if direction == "maximize" else -1.0
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
    parts = [max(each.sd, rounding) ** 2 / each.n for each in (one, two)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(n=n, mean=mean, sd=0.0, low=mean, high=mean)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1))
    half = t_quantile(freedom, CONFIDENCE) * error
    return Interval(n=n, mean=mean, sd=error, low=mean - half, high=mean + half)
