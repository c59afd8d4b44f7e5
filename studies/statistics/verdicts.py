"""The two verdicts of a study: which configuration is best, and which choice is when tuned so.

The verdict on *configurations* is about the confirmed ones as they are. Its error has the seeds
and, where the answers to each image were kept, the images in it. The verdict on *choices* is about
what would come out if the study was repeated with another search seed. Its error has the luck of
the search in it, too: two good configurations of one choice tell how much another search would
have changed the choice's result.

Both use the comparisons of ``multiple.py`` with the pooled error of ``pooled.py``. Pairing by seed
is not used: the mean correlation by seed is .11 here, and a positive one makes the verdicts
careful, not wrong. All rates are simulated in ``benchmarks/verdicts.py``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from mnist_core.comparison.spread import rounding_error
from studies.statistics.crossed import Bits, image_shares
from studies.statistics.estimates import Estimate, estimate, with_luck
from studies.statistics.intervals import CONFIDENCE, Direction, Interval, sign_of, turned
from studies.statistics.luck import search_luck
from studies.statistics.multiple import (
    Comparison,
    Gain,
    against,
    compare,
    intervals,
)
from studies.statistics.pooled import Collapse, Pool, collapses, pool

LEVEL = 0.05
"""Probability that the best choice is called worse, over all looks."""
CHOICE_LEVEL = LEVEL / 2
"""The same for the verdict on choices. Two reruns contradict each other if either is wrong, so half
the level keeps such pairs at 5 %."""
DEFAULT_LEVEL = 0.025
"""Probability that any choice is wrongly called better than the default, over all looks."""
LATER = 3.0
"""Each later stage of looks has this fraction of the one before."""
FIRST_LOOK = 4
"""The first look is at this number of seeds or fewer; later ones at up to 8, 16, 32, …"""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a study may claim.

    Attributes:
        comparison: best, ties and the rest; a choice that collapsed or was stopped is in none of
            them. Its margins are larger for a better choice, whatever the direction.
        intervals: simultaneous intervals of the means, in the metric; without collapsed choices.
        gains: each choice against the default, larger is better; empty without a default to judge.
        collapsed: choices with collapsed seeds.
        pool: the common variance of a single seed, and the choices that stand out.
        images: each choice's share in the image variance of a difference; empty: not known.
        level: the share of the level that this look may use.
        estimates: what was judged, larger is better; without collapsed choices.
    """

    comparison: Comparison
    intervals: Mapping[str, Interval]
    gains: Mapping[str, Gain]
    collapsed: Mapping[str, Collapse]
    pool: Pool
    images: Mapping[str, float] = field(default_factory=dict)
    level: float = 1.0
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


def look_share(seeds: int) -> float:
    """Return the share of the level that a look at ``seeds`` seeds may use.

    Half of it is for up to 4 seeds, a sixth for 5 to 8, an eighteenth for 9 to 16. These shares add
    up to three quarters, so by the union bound the error does not grow with looks at 4, 8, 16, …
    seeds (alpha spending: Lan & DeMets 1983, doi:10.1093/biomet/70.3.659). The rest is for more
    looks on the way: at every number from 4 to 32 a false "better than the default" comes in 2.2 %
    of studies (with halves in place of thirds 3.1 %, with no shares 37 % up to 16). The share
    depends on the number of seeds only, so the same data always have the same verdict.
    """
    stage = 0
    while seeds > FIRST_LOOK * 2**stage:
        stage += 1
    share: float = 0.5 / LATER**stage
    return share


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What both verdicts of a study are reached under."""

    direction: Direction = "maximize"  # whether a larger or a smaller metric is better
    step: float = 0.0  # the values are read in steps of it; 0: they are continuous
    default: str | None = None  # the choice to compare with
    # choices that a race has stopped: it has shown them to be worse, so they are not compared again
    stopped: Collection[str] = ()
    # choices that failed on some seeds and may have been lucky on the rest: none of them is called
    # best, unless all failed or collapsed
    failed: Collection[str] = ()
    # for each choice and seed whether each image is right. If given, the error has the images in
    # it; the metric is an accuracy in [0, 1] then.
    bits: Mapping[str, Mapping[int, Bits]] | None = None


def judge_configurations(
    values: Mapping[str, Mapping[int, float]], given: Conditions = Conditions()
) -> Judgement | None:
    """Return the verdict on the confirmed configurations.

    ``values`` has for each choice its metric by seed; choices without a value are ignored. None: no
    choice has a value, apart from stopped ones.
    """
    direction, step, bits = given.direction, given.step, given.bits
    values = {choice: by_seed for choice, by_seed in values.items() if by_seed}
    broken = collapses(values, direction, step)
    spread = pool(values, step=step, apart=broken)
    shares = image_shares({c: of for c, of in bits.items() if c in values}) if bits else {}
    sign = sign_of(direction)
    # Without the answers, at least the rounding to whole images is an error that all seeds share:
    # a lead of one image on every seed is a tie, one of three images is not.
    unknown = 0.0 if shares else rounding_error(step) ** 2
    estimates = {
        choice: estimate(
            by_seed,
            spread,
            choice,
            sign=sign,
            images=shares.get(choice, unknown),
            able=choice not in given.failed,
        )
        for choice, by_seed in values.items()
        if choice not in broken
    }
    return _judgement(estimates, values, broken, spread, shares, given, LEVEL)


def judge_choices(
    values: Mapping[str, Mapping[int, float]],
    pairs: Mapping[str, tuple[float, float]],
    given: Conditions = Conditions(),
    *,
    raced: bool = False,
) -> Judgement | None:
    """Return the verdict on the choices, tuned as in this study.

    A choice's two best configurations are taken as two results that the search might as well have
    come to, so half the squared difference of their confirmed means is the variance of such a
    result: seeds and luck together, one degree of freedom a choice. Where the two have raced, the
    choice's result is the better one, whose variance is 68 % of that. Pooled over the choices it is
    close to the variance over reruns if trials are normal, and above it for the shapes that real
    searches have. A choice whose own two results differ by more is judged by them.

    Args:
        values: as for ``judge_configurations``: of each choice's best configuration.
        pairs: for each choice the confirmed means of its two best configurations, on the same
            seeds. Without confirmed runners-up, the two best values of its search do: they have
            the error of one seed.
        given: as for ``judge_configurations``; its default is one configuration and has no luck.
        raced: whether ``values`` are of the configuration that leads its pair on fresh seeds.

    Returns:
        The verdict, or None if no choice has a value or fewer than two have a pair: then the luck
        of the search is not known.
    """
    found = judge_configurations(values, replace(given, default=None))
    judged = {c: p for c, p in pairs.items() if values.get(c)}
    luck = search_luck(judged, raced=raced, step=given.step)
    if found is None or luck.freedom < 2:
        return None
    values = {choice: by_seed for choice, by_seed in values.items() if by_seed}
    sign = sign_of(given.direction)
    estimates = {
        choice: with_luck(
            estimate(
                by_seed,
                found.pool,
                choice,
                sign=sign,
                images=found.images.get(choice, 0.0),
                able=choice not in given.failed,
            ),
            luck,
            choice,
            lucky=choice != given.default,
        )
        for choice, by_seed in values.items()
        if choice not in found.collapsed
    }
    return _judgement(
        estimates, values, found.collapsed, found.pool, found.images, given, CHOICE_LEVEL
    )


def _judgement(
    estimates: Mapping[str, Estimate],
    values: Mapping[str, Mapping[int, float]],
    broken: Mapping[str, Collapse],
    spread: Pool,
    shares: Mapping[str, float],
    given: Conditions,
    level: float,
) -> Judgement | None:
    rivals = {choice: one for choice, one in estimates.items() if choice not in given.stopped}
    share = look_share(max((one.n for one in rivals.values()), default=1))
    comparison = compare(rivals, level * share)
    if comparison is None:
        comparison = _least_broken(values, broken, given.stopped)
    if comparison is None:
        return None
    gains = {}
    if given.default in estimates:
        gains = against(estimates, str(given.default), DEFAULT_LEVEL * share)
    sign = sign_of(given.direction)
    found = intervals(estimates, 1 - CONFIDENCE)
    return Judgement(
        comparison=comparison,
        intervals={choice: turned(one, sign) for choice, one in found.items()},
        gains=gains,
        collapsed=broken,
        pool=spread,
        images=shares,
        level=share,
        estimates=estimates,
    )


def _least_broken(
    values: Mapping[str, Mapping[int, float]],
    broken: Mapping[str, Collapse],
    stopped: Collection[str],
) -> Comparison | None:
    """Return the choice with most sound seeds as best, if all choices failed or collapsed."""
    sound = {
        choice: len(by_seed) - (len(broken[choice].seeds) if choice in broken else 0)
        for choice, by_seed in values.items()
        if choice not in stopped
    }
    if not sound:
        return None
    best = min(sound, key=lambda choice: (-sound[choice], choice))
    others = tuple(sorted(choice for choice in sound if choice != best))
    return Comparison(best=best, sole=False, ties=(), unclear=others, worse=())
