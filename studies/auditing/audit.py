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
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from mnist_core.counting import counted
from studies.auditing.curves import Curve, Curves
from studies.auditing.replay import Replayed, replay
from studies.planning.plan import Plan

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
        saved_range: 2.5 % and 97.5 % quantiles of the share over the draws.
        chance: of losing the best, over the draws.
        chance_range: 95 % Wilson interval of it; it covers the number of draws, not that of curves.
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
        curves: the study's, from ``studies/auditing/curves.py``.
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
        _judge(curves, studies, name, options, own=(name, options) == own)
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
) -> Verdict:
    def run(some: Sequence[Curve]) -> tuple[float, float, float]:
        done = replay(some, name, options, direction=curves.direction, workers=curves.workers)
        return _saved(some, done), *_lost(curves, some, done)

    saved, loses, _ = run(curves.full)
    outcomes = [run(study) for study in studies]
    shares = sorted(share for share, _, _ in outcomes)
    chance = sum(lost for _, lost, _ in outcomes) / len(outcomes)
    return Verdict(
        label=_label(name, options),
        own=own,
        saved=saved,
        loses=loses > 0,
        mean_saved=sum(shares) / len(shares),
        saved_range=(_quantile(shares, 0.025), _quantile(shares, 0.975)),
        chance=chance,
        chance_range=_wilson(chance, len(outcomes)),
        given_up=sum(loss for _, _, loss in outcomes) / len(outcomes),
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


def _lost(all_of: Curves, curves: Sequence[Curve], done: Replayed) -> tuple[float, float]:
    """Return the share of the best trial's copies that are stopped, and the value given up.

    Of several trials that are equally good, as accuracies often are, the one that is kept best.
    """
    best = all_of.best([curve.value for curve in curves])
    copies: dict[int, list[bool]] = {}
    for curve, at in zip(curves, done.stopped_at, strict=True):
        if curve.value == best:
            copies.setdefault(curve.number, []).append(at is not None)
    left = [c.value for c, at in zip(curves, done.stopped_at, strict=True) if at is None]
    # The first trial of a choice is never stopped by a pruner that compares, and defaults never.
    given_up = abs(best - all_of.best(left)) if left else math.nan
    return min(sum(of_one) / len(of_one) for of_one in copies.values()), given_up


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


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def _wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209)."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
