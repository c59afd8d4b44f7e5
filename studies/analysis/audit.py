"""Audit of pruners: what each would have saved of a study, and how often it loses the best trial.

Only a full curve can be replayed, and a study's pruner keeps those of the trials that it liked. So
*sentinels* (``search.sentinels``), a random sample that runs to its end, stand for the others.

Curves are replayed twice: once in the order of their trials, and in *draws*, which are studies of
the same size put together from full curves with replacement. Both 95 % intervals are for another
study of such trials. Simulated with the median's rule on 12, 25 and 60 trials, 100 to 200 studies
each, that of the chance held the true one in 99 % or more, that of the saving in 96 % or more.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean, stdev
from typing import Any

from mnist_core.comparison.spread import t_quantile
from mnist_core.console.plain_text import counted
from studies.analysis.audit_curves import Curve, Curves
from studies.analysis.replay import Pruner, Replayed, replay

ENOUGH = 20
"""Full curves, defaults not counted, below which an audit says little."""

ENOUGH_STOPPED = 5
"""Full curves of trials that the pruner stops, below which it says little about them."""

_REPORTS = 40_000
"""About this number of decisions of each pruner are replayed where no number of draws is given."""

COMPARED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("none", {}),
    ("median", {}),
    ("percentile", {"percentile": 25.0}),
    ("percentile", {"percentile": 75.0}),
    ("successive_halving", {}),
    ("hyperband", {}),
)
"""Pruners that are compared besides the study's own; percentile 50 is the median."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one pruner would have saved and lost.

    Attributes:
        saved: fraction of the training time that it saves in the recorded order, 0 to 1.
        loses: whether it stops the best trial in the recorded order.
        saved_range: 95 % prediction interval of that fraction.
        chance: of losing the best, over the draws, with its 95 % interval.
        given_up: mean loss of the metric's best value over the draws, >= 0.
    """

    label: str
    own: bool
    saved: float
    loses: bool
    mean_saved: float
    saved_range: tuple[float, float]
    chance: float
    chance_range: tuple[float, float]
    given_up: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """An audit: a verdict for each pruner, and what limits it."""

    curves: Curves
    draws: int
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]


def audit(own: Pruner, curves: Curves, *, draws: int | None = None, seed: int = 0) -> Audit:
    """Replay ``curves`` through the study's ``own`` pruner and others.

    ``draws`` studies are put together; None: 20 to 200, which take about a minute.
    """
    size = sum(len(curve.reports) for curve in curves.full)
    if draws is None:
        draws = min(200, max(20, _REPORTS // max(1, size)))
    studies = [_draw(curves, Random(f"{seed} {index}")) for index in range(draws)]
    compared = [replace(own, name=name, options=options) for name, options in COMPARED]
    if own not in compared:
        compared.append(own)
    verdicts = tuple(_verdict(curves, studies, one, own=one == own) for one in compared)
    return Audit(curves=curves, draws=draws, verdicts=verdicts, warnings=tuple(_warnings(curves)))


def _verdict(
    curves: Curves, studies: Sequence[Sequence[Curve]], pruner: Pruner, *, own: bool
) -> Verdict:
    def run(some: Sequence[Curve]) -> tuple[float, _Loss]:
        done = replay(some, pruner, workers=curves.workers)
        return _saved(some, done), _lost(curves, some, done)

    saved, loss = run(curves.full)
    outcomes = [run(study) for study in studies]
    shares = [share for share, _ in outcomes]
    losses = [lost for _, lost in outcomes]
    chance = fmean(lost.share for lost in losses)
    return Verdict(
        label=_label(pruner.name, pruner.options),
        own=own,
        saved=saved,
        loses=loss.share > 0,
        mean_saved=fmean(shares),
        saved_range=_prediction(shares),
        chance=chance,
        # With the effective number of observations (Korn and Graubard 1998, Survey Methodology 24,
        # 193). Wilson's interval over the draws held the true chance in 28 to 100 % of simulations.
        chance_range=_clopper_pearson(chance, _effective([lost.best for lost in losses]))
        if pruner.name != "none"
        else (0.0, 0.0),  # known, not estimated
        given_up=fmean(lost.given_up for lost in losses),
    )


def _draw(curves: Curves, random: Random) -> list[Curve]:
    drawn = random.choices(curves.kept, k=len(curves.kept))
    # Kept trials stand for kept ones, sentinels that it would have stopped for stopped ones.
    if curves.stopped:
        drawn += random.choices(curves.stopped, k=len(curves.stopped) + curves.pruned)
    random.shuffle(drawn)
    # The defaults come first, as in every study.
    return [*(curve for curve in curves.full if curve.exempt), *drawn]


def _label(name: str, options: Mapping[str, Any]) -> str:
    if name == "percentile" and list(options) == ["percentile"]:
        return f"percentile {options['percentile']:g}"
    said = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"{name} ({said})" if said else name


def _saved(curves: Sequence[Curve], done: Replayed) -> float:
    if not any(at is not None for at in done.stopped_at):
        return 0.0  # exactly: sums of seconds are not
    return 1.0 - done.seconds / sum(curve.seconds for curve in curves)


@dataclass(frozen=True)
class _Loss:
    """The best trial's number, the fraction of its copies that were stopped, and the cost."""

    best: int
    share: float
    given_up: float


def _lost(all_of: Curves, curves: Sequence[Curve], done: Replayed) -> _Loss:
    """Return the loss of the best trial; of equally good ones, of the one that is lost least."""
    best = all_of.best([curve.value for curve in curves])
    copies: dict[int, list[bool]] = {}
    for curve, at in zip(curves, done.stopped_at, strict=True):
        if curve.value == best:
            copies.setdefault(curve.number, []).append(at is not None)
    left = [c.value for c, at in zip(curves, done.stopped_at, strict=True) if at is None]
    # The first trial of a choice is never stopped by a pruner that compares, and defaults never.
    given_up = abs(best - all_of.best(left)) if left else math.nan
    share, number = min((sum(of_one) / len(of_one), number) for number, of_one in copies.items())
    return _Loss(number, share, given_up)


def _warnings(curves: Curves) -> list[str]:
    found = []
    more = "set search.sentinels (say 0.2) or search.pruner=none for the next study"
    if (n := len(curves.kept) + len(curves.stopped)) < ENOUGH:
        found.append(
            f"only {counted(n, 'full curve')} besides the defaults: too few to choose a pruner by;"
            f" {more}"
        )
    if curves.pruned and len(curves.stopped) < ENOUGH_STOPPED:
        found.append(
            f"pruned trials: {curves.pruned}; sentinels that show how such trials continue:"
            f" {len(curves.stopped)}, so most curves are of trials that the study's pruner liked;"
            f" {more}"
        )
    return found


def _prediction(shares: Sequence[float]) -> tuple[float, float]:
    n, mean = len(shares), fmean(shares)
    if n < 2:
        return 0.0, 1.0  # one draw tells nothing of the spread
    # Half of the variance is the new study's, half is that of the study that was drawn from.
    half = t_quantile(n - 1) * stdev(shares) * math.sqrt(2 + 1 / n)
    return max(0.0, mean - half), min(1.0, mean + half)


def _effective(drawn: Sequence[int]) -> float:
    """Return the effective number of observations among the best trials of draws (Kish 1965)."""
    # The best is one of the same few trials again and again: 1 / sum of squared shares is about 2,
    # so a single study says little about its chance to lose its best.
    n = len(drawn)
    # The draws themselves are a sample, too: 1 / n is their part.
    return 1 / (sum((count / n) ** 2 for count in Counter(drawn).values()) + 1 / n)


def _clopper_pearson(share: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a fraction of ``n`` observations; ``n`` need not be whole."""
    from scipy import special  # type: ignore[import-untyped]

    hits = share * n
    low = float(special.betaincinv(hits, n - hits + 1, 0.025)) if hits > 0 else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return low, high
