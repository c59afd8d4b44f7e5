"""The spread of the seeds: which seeds collapsed, which choices stand out, the error of the rest.

With three or four seeds a choice's own standard deviation says little (it is off by a third as a
rule). Nine choices together know theirs with 27 degrees of freedom, so the error is pooled over all
choices except those whose variance clearly stands out.

An accuracy spreads the more over seeds, the lower it is: in four runs of optim_search (40
configurations, 97.8 to 98.9 %) the standard deviation grew with the 1.4th power of the errors'
fraction, and after one epoch choices at 60 % spread 30 times as much as those at 97 %. So an
accuracy is pooled on the logit scale, where the standard deviation is divided by p * (1 - p).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mnist_core.comparison.spread import rounding_error
from studies.statistics.intervals import Direction, mean_interval, sign_of

COLLAPSE_TIMES = 25
"""A seed collapsed if it is this many usual standard deviations worse than its choice's best seed.

A poorly tuned choice may spread three times as much as usual; it reaches that in .5 % of studies
with 3 seeds and in .1 % with 4 (simulated). Training that diverges on MNIST ends 100 to 300 of them
lower.
"""
FAR = 2.0
"""Accuracies are pooled as they are up to this ratio of p * (1 - p) to the best one's. Nearer ones
differ by chance, too: scaled by their own means, the best of nine equal ones would be the one whose
error is understated, and its interval would hold its true value in 94 % of studies, not in 98 %."""
STANDS_OUT = 0.05
"""Probability that one of several choices of equal variance is kept out of the pool."""


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """Seeds on which training failed on its own, e.g. "1 of 3 seeds collapsed".

    Attributes:
        seeds: the collapsed ones.
        of: number of seeds with a value.
        mean: of the other seeds.
    """

    seeds: tuple[int, ...]
    of: int
    mean: float

    def __str__(self) -> str:
        """Say how many of the seeds collapsed."""
        return f"{len(self.seeds)} of {self.of} seed{'s' * (self.of != 1)} collapsed"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The common variance of single seeds.

    Attributes:
        variance: of one seed's value, of the best accuracy where it is one; NaN if no choice has
            two values.
        freedom: its degrees of freedom.
        members: the choices that it is pooled over, and that are judged by it.
        outside: the choices whose variance stands out: judged by their own.
        own: each choice's own variance; missing for one with fewer than two values.
        scales: each choice's expected standard deviation, relative to that of ``variance``; 1 if
            missing.
    """

    variance: float
    freedom: float
    members: tuple[str, ...]
    outside: tuple[str, ...]
    own: Mapping[str, float]
    scales: Mapping[str, float] = field(default_factory=dict)

    def variance_of(self, choice: str) -> float:
        """Return the common variance as it is for ``choice``."""
        return self.variance * self.scales.get(choice, 1.0) ** 2


def accuracy_scales(values: Mapping[str, Mapping[int, float]], step: float) -> dict[str, float]:
    """Return for each choice how many times as much as the best one's its accuracy spreads.

    1 for all if the metric is not an accuracy (``step`` 0), or not a fraction.
    """
    means = {choice: math.fsum(of.values()) / len(of) for choice, of in values.items() if of}
    if step == 0 or not all(0 <= mean <= 1 for mean in means.values()):
        return dict.fromkeys(values, 1.0)
    # One image at least: a choice without an error would have no spread.
    found = {choice: max(mean * (1 - mean), step) for choice, mean in means.items()}
    best = found[max(means, key=lambda choice: means[choice])] if means else 1.0
    ratios = {choice: found.get(choice, best) / best for choice in values}
    return {choice: one if one > FAR else 1.0 for choice, one in ratios.items()}


def usual_spread(values: Mapping[str, Mapping[int, float]], *, step: float = 0.0) -> float:
    """Return the usual standard deviation of a seed that did not collapse; 0: none.

    It is 1.35 times the lower quartile of the choices' own: three of four choices may have
    collapsed seeds. The factor makes it the median's size for four seeds.
    """
    scales = accuracy_scales(values, step)
    spreads = sorted(
        mean_interval(list(by_seed.values())).sd / scales[choice]
        for choice, by_seed in values.items()
        if len(by_seed) > 1
    )
    usual = 1.35 * spreads[(len(spreads) - 1) // 4] if spreads else 0.0
    return max(usual, rounding_error(step), _least_spread(values, step))


def _least_spread(values: Mapping[str, Mapping[int, float]], step: float) -> float:
    """Return half the binomial standard deviation of the best accuracy; 0: it is not an accuracy.

    The smallest of two to four choices' spreads may be tiny by chance. Without this bound a sound
    seed counts as collapsed in 5 to 16 % of such studies with 2 seeds, and in .5 to 2.5 % with 3.
    """
    best = max((value for of in values.values() for value in of.values()), default=0.0)
    return 0.5 * math.sqrt(best * (1 - best) * step) if step > 0 and 0 < best < 1 else 0.0


def collapsed(
    values: Mapping[str, Mapping[int, float]],
    *,
    direction: Direction = "maximize",
    step: float = 0.0,
) -> dict[str, tuple[int, ...]]:
    """Return the collapsed seeds of each choice that has any: training failed on them alone.

    A choice's best seed is the reference. With its median, two of three collapsed seeds would
    count as usual and the good one as luck.
    """
    # Two seeds of few choices show no usual spread, except that of an accuracy, see above.
    if step == 0 and len(values) < 5 and all(len(of) < 3 for of in values.values()):
        return {}
    usual, sign = COLLAPSE_TIMES * usual_spread(values, step=step), sign_of(direction)
    # Its best seed tells how well a choice trains where training does not fail.
    tops = {
        choice: {0: sign * max(sign * value for value in by_seed.values())}
        for choice, by_seed in values.items()
        if by_seed
    }
    scales = accuracy_scales(tops, step)
    found = {}
    for choice, by_seed in values.items():
        limit = usual * scales.get(choice, 1.0)
        best = max((sign * value for value in by_seed.values()), default=0.0)
        seeds = tuple(seed for seed, value in by_seed.items() if best - sign * value > limit > 0)
        if seeds:
            found[choice] = seeds
    return found


def collapses(
    values: Mapping[str, Mapping[int, float]], direction: Direction, step: float
) -> dict[str, Collapse]:
    """Return what is to be said of each choice with collapsed seeds."""
    found = {}
    for choice, seeds in collapsed(values, direction=direction, step=step).items():
        rest = [value for seed, value in values[choice].items() if seed not in seeds]
        found[choice] = Collapse(
            seeds=seeds, of=len(values[choice]), mean=math.fsum(rest) / len(rest)
        )
    return found


def pool(
    values: Mapping[str, Mapping[int, float]],
    *,
    step: float = 0.0,
    apart: Collection[str] = (),
    level: float = STANDS_OUT,
) -> Pool:
    """Return the variance of one seed over all choices that do not stand out.

    Args:
        values: for each choice its metric by seed.
        step: the values are read in steps of it, so their variance is at least that of rounding.
        apart: choices that are not pooled: those with collapsed seeds.
        level: probability that one of several choices of equal variance is kept out of the pool.
    """
    own = {
        choice: mean_interval(list(by_seed.values())).sd ** 2
        for choice, by_seed in values.items()
        if len(by_seed) > 1
    }
    scales = accuracy_scales({c: of for c, of in values.items() if c not in apart}, step)
    scaled = {choice: own[choice] / scales.get(choice, 1.0) ** 2 for choice in own}
    freedoms = {choice: len(values[choice]) - 1 for choice in own}
    inside = [choice for choice in own if choice not in apart]
    outside: list[str] = []
    least = rounding_error(step) ** 2
    while (found := _standing_out(scaled, freedoms, inside, least, level)) is not None:
        inside.remove(found)
        outside.append(found)
    freedom = sum(freedoms[choice] for choice in inside)
    variance = math.nan
    if freedom:
        # fsum: the order of the choices must not change the last digit.
        pooled = math.fsum(freedoms[choice] * scaled[choice] for choice in inside) / freedom
        variance = max(pooled, least)
    single = [choice for choice, by_seed in values.items() if len(by_seed) == 1]
    return Pool(
        variance=variance,
        freedom=float(freedom),
        members=(*inside, *(choice for choice in single if choice not in apart)),
        outside=tuple(sorted(outside)),
        own={choice: max(variance, least) for choice, variance in own.items()},
        scales=scales,
    )


def _standing_out(
    own: Mapping[str, float],
    freedoms: Mapping[str, int],
    inside: Collection[str],
    least: float,
    level: float,
) -> str | None:
    """Return the choice with the largest variance if it is larger than chance makes it.

    An F test against the others' pooled variance, at a level for the largest of all: for equal
    numbers of seeds the same as Cochran's test (1941, doi:10.1111/j.1469-1809.1941.tb02271.x).
    Applied again to the rest, so that two wide choices do not hide each other.
    """
    from scipy import special  # type: ignore[import-untyped]

    if len(inside) < 3:  # of two choices none can be called the usual one
        return None
    widest = max(inside, key=lambda choice: (own[choice], choice))
    others = [choice for choice in inside if choice != widest]
    freedom = sum(freedoms[choice] for choice in others)
    usual = math.fsum(freedoms[choice] * own[choice] for choice in others) / freedom
    usual = max(least, usual)
    if usual == 0:
        return widest if own[widest] > 0 else None
    tail = float(special.fdtrc(freedoms[widest], freedom, own[widest] / usual))
    return widest if tail < level / len(inside) else None
