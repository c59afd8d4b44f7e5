"""Two studies compared, B less A: two environments (CPU and GPU), two commits, or two questions.

* *The same trainings*: equal hyperparameters, seed, data and settings of what is trained, paired
  one by one. What differs between them is the environment's doing.
* *Each configuration* that both confirmed under one label. Each study found its own, so they may
  differ, see ``gaps.py``.
* *The best of both.*

The verdict is that of the same trainings; where there are fewer than two, that of the best ones.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mnist_core.comparison.compare import COMPUTED
from mnist_core.comparison.spread import Verdict, outcome_of
from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from studies.analysis.candidates import candidates
from studies.analysis.gaps import Gap, GapJudge, paired
from studies.analysis.runners_up import named
from studies.analysis.stored_study import Stored
from studies.analysis.summary import metric_step
from studies.core.formatting import is_share, possible, signed, unit
from studies.core.seeds import confirm_seeds
from studies.core.trials import TrialRecord
from studies.planning.fingerprint import differences


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """The same trainings of both studies.

    Attributes:
        gap: of their final values; None: there are none.
        identical: the number of those with every report the same, to the last bit.
        seconds: time of B's over time of A's; NaN if it is not known.
    """

    gap: Gap | None = None
    identical: int = 0
    seconds: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two studies have in common, and what differs.

    Attributes:
        settings: differences in what is measured, e.g. ``train.epochs: 5 -> 6``.
        environment: differences in devices and versions, in the same form.
        best: of the best of both; None: one has confirmed nothing.
    """

    metric: str
    settings: tuple[str, ...]
    environment: tuple[str, ...]
    trainings: Trainings
    rows: tuple[Gap, ...]
    best: Gap | None
    verdict: Verdict

    @property
    def gaps(self) -> list[Gap]:
        """All differences: of the same trainings, of the best of both, of each configuration."""
        return [row for row in (self.trainings.gap, self.best, *self.rows) if row is not None]


def compare(a: Stored, b: Stored, *, tolerance: float | None = None) -> Comparison:
    """Compare two studies, B less A.

    ``tolerance`` is the largest difference that counts as equal, in the metric's unit; None: what
    the interval does not show to be different from 0.

    Raises:
        UserError: if they measure different metrics, or have nothing in common.
    """
    metric = a.plan.spec.metric
    if b.plan.spec.metric != metric:
        raise UserError(f"A measures {metric} and B {b.plan.spec.metric}, which cannot be compared")
    # Trainings of other settings may differ for any reason: they are not paired one by one.
    alike = _measured(a) == _measured(b)
    step = metric_step(metric, (*a.search, *a.confirm, *b.search, *b.confirm))
    trainings = _trainings(a, b, step) if alike else Trainings()
    first, second = _confirmed(a), _confirmed(b)
    tops, best = (_top(a, first), _top(b, second)), None
    named = a.plan.spec.compares and b.plan.spec.compares
    common = [
        (label, label)
        for label in first
        # "trial 4" is another configuration in each study that compares no choices.
        if label in second and (named or first[label][0].params == second[label][0].params)
    ]
    judge = GapJudge(
        first, second, {*common, *([tops] if all(tops) else [])}, step, a.plan.spec.direction, alike
    )
    rows = tuple(judge.gap(pair[0], pair) for pair in common)
    if all(tops):
        title = tops[0] if tops[0] == tops[1] else f"{tops[0]} (A) and {tops[1]} (B)"
        best = judge.gap(f"best of each, {title}", tops)
    # One pair alone has no interval; the best ones have one over seeds.
    decisive = trainings.gap if trainings.gap is not None and trainings.gap.n > 1 else best
    if decisive is None:
        raise UserError(
            "A and B have neither two trainings with equal settings and seeds nor a confirmed"
            " configuration each, so there is nothing to compare"
        )
    return Comparison(
        metric=metric,
        settings=tuple(differences(a.settings, b.settings)),
        environment=tuple(differences(_environment(a), _environment(b))),
        trainings=trainings,
        rows=rows,
        best=best,
        verdict=_verdict(decisive, trainings, metric, tolerance),
    )


def _measured(found: Stored) -> dict[str, object]:
    """Return the settings that two trainings must share to be the same."""
    # How they are computed (precision, compilation …) belongs to the environment that is compared.
    train = found.settings.get("train", {})
    return {
        **{name: found.settings.get(name) for name in ("objective", "metric", "data")},
        "train": {name: value for name, value in train.items() if name not in COMPUTED},
    }


def _trainings(a: Stored, b: Stored, step: float) -> Trainings:
    first, second = _by_training(a), _by_training(b)
    pairs = [(first[key], second[key]) for key in first if key in second]
    if not pairs:
        return Trainings()
    times = [(x.seconds, y.seconds) for x, y in pairs if x.seconds and y.seconds]
    values = [
        dict(enumerate(one.value or 0.0 for one in side)) for side in zip(*pairs, strict=True)
    ]
    return Trainings(
        gap=paired("the same trials", *values, step=step, alike=True, same_params=True),
        identical=sum(x.curve == y.curve and x.value == y.value for x, y in pairs),
        seconds=sum(y for _, y in times) / sum(x for x, _ in times) if times else math.nan,
    )


def _by_training(found: Stored) -> dict[str, TrialRecord]:
    return {
        json.dumps([record.params, record.seed], sort_keys=True): record
        for record in (*found.search, *found.confirm)
        if record.complete and record.value is not None
    }


def _confirmed(found: Stored) -> dict[str, list[TrialRecord]]:
    """Return the confirm trainings by label; those of one configuration may have two labels."""
    complete = [r for r in found.confirm if r.complete and r.value is not None]
    plan = found.plan
    front, seeds = plan.settings.confirm.front, plan.confirm_seeds
    chosen = candidates(plan.spec, plan.goals, found.search, front=front, top=plan.top)
    chosen = named(
        plan.spec, chosen, found.confirm, confirm_seeds(plan.settings.search.seed, seeds)
    )
    rows = {
        one.label: [record for record in complete if record.params == one.params]
        for one in chosen
        if not one.runner_up
    }
    return {label: records for label, records in rows.items() if records}


def _top(found: Stored, rows: Mapping[str, list[TrialRecord]]) -> str:
    """Return the label with the best mean, as in the study's own verdict; "": there is none."""
    best = found.result.best if found.result is not None else None
    if best is not None and best in rows:
        return best
    sign = found.plan.goals.sign

    def mean(label: str) -> float:
        return sum(record.value or 0.0 for record in rows[label]) / len(rows[label])

    return max(rows, key=lambda label: sign * mean(label), default="")


def _environment(found: Stored) -> dict[str, object]:
    records = [record for record in (*found.search, *found.confirm) if record.attributes]
    known: dict[str, object] = {}
    for name in ("device", "device_name", "precision", "threads"):
        seen = sorted({str(r.attributes[name]) for r in records if name in r.attributes})
        known[name] = " and ".join(seen) or "not recorded"
    return {**known, "versions": dict((found.described or {}).get("versions", {}))}


def _verdict(decisive: Gap, trainings: Trainings, metric: str, tolerance: float | None) -> Verdict:
    what = decisive.label
    if decisive is trainings.gap:
        what = f"{counted(decisive.n, 'trial')} with equal settings and seeds"
        if trainings.identical == decisive.n:
            return Verdict("identical", f"{what} came out the same, every report to the last bit")
    scale, sign = (100, " points") if is_share(metric) else (1, unit(metric))
    gap = decisive.gap
    cut = possible(metric, gap, gap=True)
    mean, low, high = (signed(scale * one, ".3g") for one in (gap.mean, cut.low, cut.high))
    said = f"{what}: {mean} [{low}, {high}]{sign}"
    outcome = outcome_of(gap.low, gap.high, tolerance)
    if tolerance is None:
        includes = "includes" if outcome == "no difference shown" else "does not include"
        return Verdict(outcome, f"{said}; the interval {includes} 0")
    place = {"equal": "lies within", "different": "lies outside", "undecided": "reaches across"}
    bound = f"the tolerance of {scale * tolerance:g}{sign}"
    more = ": more seeds would tell" if outcome == "undecided" else ""
    return Verdict(outcome, f"{said}; the interval {place[outcome]} {bound}{more}")
