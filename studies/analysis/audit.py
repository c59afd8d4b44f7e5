"""Audit of pruners: what each would have saved of a study, and how often it loses the best trial.

Only a full curve can be replayed through another pruner, and a study with a pruner keeps the full
curves of those trials that it liked. Its *sentinels* (``search.sentinels``) are the rest of the
truth: a random sample of all trials that ran to their end whatever the pruner said. Method:

* Recorded order: all full curves once, in the order of their trials.
* Draws: a study of the same size, put together from full curves with replacement: first the
  defaults, then, in an order drawn anew, kept trials in the place of kept ones and, in the place of
  each trial that the study's pruner stopped, a sentinel that it would have stopped. Each is
  replayed; the *chance of losing the best* is the share of draws in which the trial that is best at
  its end is stopped before, and *given up* is how much better it is than the best that is left.
  Where the best is drawn several times, each of its copies counts a part; where several trials are
  equally good, losing one of them loses nothing.

Both 95 % intervals are of another study of such trials, not of the draws alone:

* *saved*: mean over the draws ± t * sqrt(2) standard deviations, a prediction interval of one more
  study: half of that variance is the new study's, half is this one's.
* *chance*: Clopper and Pearson's interval, with the effective number of observations in place of
  their number (Korn and Graubard 1998, Survey Methodology 24, 193). The best of a draw is one of
  the same few trials again and again: 1 / sum of squared shares (Kish 1965) is about 2, however
  many draws there are. So one study says little about its chance to lose its best.

Simulated with the median's rule (one worker, one choice) on 12, 25 and 60 trials, 5 and 50 % slow
starters (25 trials: 0 to 100 %), 8 to 40 draws, 100 to 200 studies each: the interval of the chance
held the true one in 99 % or more, that of the saving a fresh study's in 96 % or more. Before,
Wilson's interval over the draws held the chance in 28 to 100 %, and the quantiles of the draws held
the saving in 79 to 98 %.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, stdev
from typing import Any

from mnist_core.console.plain_text import counted
from studies.analysis.audit_curves import Curve, Curves, Replayed, replay
from studies.planning.plan import Plan
from studies.search.pruners import with_resources

ENOUGH = 20
"""Full curves, defaults not counted, below which an audit says little."""

ENOUGH_STOPPED = 5
"""Full curves of trials that the pruner stops, below which it says little about them."""

_REPORTS = 40_000
"""About so many decisions of each pruner are replayed unless the number of draws is given."""

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
    """What one pruner comes to.

    Attributes:
        label: its name and options.
        own: whether it is the study's own.
        saved: share of the training time that it saves in the recorded order, 0 to 1.
        loses: whether it stops the best trial in the recorded order.
        mean_saved: mean share over the draws.
        saved_range: 95 % prediction interval of the share in another study of such trials.
        chance: of losing the best, over the draws.
        chance_range: 95 % interval of it, also over the choice of trials, see the module's text.
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
    """An audit: a verdict for each pruner, and what limits it.

    Attributes:
        curves: what was replayed.
        draws: how many studies were drawn.
        verdicts: of each pruner.
        warnings: a line each.
    """

    curves: Curves
    draws: int
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]


def audit(plan: Plan, curves: Curves, *, draws: int | None = None, seed: int = 0) -> Audit:
    """Replay ``curves`` through pruners.

    Args:
        plan: names the study's own pruner.
        curves: the study's, from ``studies/analysis/audit_curves.py``.
        draws: how many studies are drawn; None: as many as take a minute or so, 20 to 200.
        seed: of the draws.
    """
    size = sum(len(curve.reports) for curve in curves.full)
    if draws is None:
        draws = min(200, max(20, _REPORTS // max(1, size)))
    studies = [_draw(curves, Random(f"{seed} {index}")) for index in range(draws)]
    search = plan.settings.search
    own = (search.pruner, dict(search.pruner_options))
    compared = [(name, dict(options)) for name, options in COMPARED]
    if own not in compared:
        compared.append(own)
    verdicts = tuple(
        _judge(
            curves, studies, name, options, own=(name, options) == own, reports=plan.most_reports
        )
        for name, options in compared
    )
    return Audit(curves=curves, draws=draws, verdicts=verdicts, warnings=tuple(_warnings(curves)))


def _judge(
    curves: Curves,
    studies: Sequence[Sequence[Curve]],
    name: str,
    options: Mapping[str, Any],
    *,
    own: bool,
    reports: int,
) -> Verdict:
    given = with_resources(name, options, reports)

    def run(some: Sequence[Curve]) -> tuple[float, _Loss]:
        done = replay(some, name, given, direction=curves.direction, workers=curves.workers)
        return _saved(some, done), _lost(curves, some, done)

    saved, loss = run(curves.full)
    outcomes = [run(study) for study in studies]
    shares = [share for share, _ in outcomes]
    losses = [lost for _, lost in outcomes]
    chance = fmean(lost.share for lost in losses)
    return Verdict(
        label=_label(name, options),
        own=own,
        saved=saved,
        loses=loss.share > 0,
        mean_saved=fmean(shares),
        saved_range=_prediction(shares),
        chance=chance,
        chance_range=(0.0, 0.0)  # known, not estimated
        if name == "none"
        else _clopper_pearson(chance, _effective([lost.best for lost in losses])),
        given_up=fmean(lost.given_up for lost in losses),
    )


def _draw(curves: Curves, random: Random) -> list[Curve]:
    """Return a study of the same size, put together from full curves."""
    drawn = random.choices(curves.kept, k=len(curves.kept))
    if curves.stopped:
        drawn += random.choices(curves.stopped, k=len(curves.stopped) + curves.pruned)
    random.shuffle(drawn)
    return [*(curve for curve in curves.full if curve.spared), *drawn]


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
    """What became of the best trial: its number, the share of its copies stopped, and the cost."""

    best: int
    share: float
    given_up: float


def _lost(all_of: Curves, curves: Sequence[Curve], done: Replayed) -> _Loss:
    """Return what is lost; of several trials that are equally good, the one that is kept best."""
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
            f"only {counted(n, 'full curve')} besides the defaults: too few to rest a choice"
            f" on; {more}"
        )
    if curves.pruned and len(curves.stopped) < ENOUGH_STOPPED:
        found.append(
            f"pruned trials: {curves.pruned}; sentinels that show how such trials go on:"
            f" {len(curves.stopped)}, so this is mostly about trials that the study's pruner liked;"
            f" {more}"
        )
    return found


def _prediction(shares: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % prediction interval of one more share, within 0 and 1."""
    n, mean = len(shares), fmean(shares)
    if n < 2:
        return 0.0, 1.0
    from scipy import special  # type: ignore[import-untyped]

    # What the draws are made of is one study's: its mean is as uncertain as one more study is.
    half = float(special.stdtrit(n - 1, 0.975)) * stdev(shares) * math.sqrt(2 + 1 / n)
    return max(0.0, mean - half), min(1.0, mean + half)


def _effective(drawn: Sequence[int]) -> float:
    """Return how many different trials as good as stand behind the best ones of the draws."""
    n = len(drawn)
    # The draws themselves are a sample, too: 1 / n is their part.
    return 1 / (sum((count / n) ** 2 for count in Counter(drawn).values()) + 1 / n)


def _clopper_pearson(share: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``n`` observations, which need not be whole."""
    from scipy import special

    hits = share * n
    low = float(special.betaincinv(hits, n - hits + 1, 0.025)) if hits > 0 else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return low, high
