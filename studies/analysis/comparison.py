"""Two studies compared, B less A: two environments (CPU and GPU), two commits, or two questions.

* *The same trainings*: equal hyperparameters, seed, data and settings of what is trained, paired
  one by one. What differs between them is the environment's doing.
* *Each configuration* that both confirmed under one label: paired by seed where seeds are equal,
  otherwise by Welch's interval. Each study found its own, so they may differ.
* *The best of both.*

The verdict is that of the same trainings; where there are fewer than two, that of the best ones.
Intervals are 95 % t intervals and cover the randomness of training, not the choice of the images.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnist_core.comparison.compare import COMPUTED
from mnist_core.comparison.spread import Verdict, difference, outcome_of, rounding_error
from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from studies.analysis.candidates import candidates
from studies.analysis.runners_up import named
from studies.analysis.stored_study import Stored
from studies.analysis.summary import metric_step
from studies.core.formatting import is_share, possible, unit
from studies.core.seeds import confirm_seeds
from studies.core.trials import TrialRecord
from studies.planning.fingerprint import differences
from studies.statistics.intervals import Interval, paired_difference, value_interval, welch


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that both studies measured.

    Attributes:
        n: number of pairs (by seed, or by training); 0: not paired.
        same: number of pairs with the very same value.
        largest: greatest difference of a pair; NaN if it is not paired.
    """

    label: str
    a: Interval
    b: Interval
    gap: Interval
    n: int = 0
    same: int = 0
    largest: float = math.nan
    same_params: bool = True

    @property
    def paired(self) -> bool:
        """Whether values were paired by seed, or by training."""
        return self.n > 0


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
    rows = tuple(
        _gap(label, first[label], second[label], step, alike) for label in first if label in second
    )
    tops, best = (_top(a, first), _top(b, second)), None
    if all(tops):
        title = tops[0] if tops[0] == tops[1] else f"{tops[0]} and {tops[1]}"
        best = _gap(f"the best: {title}", first[tops[0]], second[tops[1]], step, alike)
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
        gap=_paired("the same trainings", *values, step=step, alike=True, same_params=True),
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


def _gap(
    label: str, a: Sequence[TrialRecord], b: Sequence[TrialRecord], step: float, alike: bool
) -> Gap:
    first = {record.seed: record.value or 0.0 for record in a}
    second = {record.seed: record.value or 0.0 for record in b}
    same = a[0].params == b[0].params
    if set(first) & set(second):
        return _paired(label, first, second, step=step, alike=alike and same, same_params=same)
    values = list(first.values()), list(second.values())
    return Gap(
        label=label,
        a=value_interval(values[0], step=step),
        b=value_interval(values[1], step=step),
        gap=welch(*values, rounding=rounding_error(step)),
        same_params=same,
    )


def _paired(
    label: str,
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    step: float,
    alike: bool,
    same_params: bool,
) -> Gap:
    common = [key for key in first if key in second]
    apart = [abs(difference(first[key], second[key])) for key in common]
    # If the same trainings all gave the same value, rounding did not cause that. If some did not,
    # their values are as rounded as any: two that are one image apart show nothing.
    exact = alike and not any(apart)
    gap = paired_difference(second, first, step=0.0 if exact else step)
    assert gap is not None
    return Gap(
        label=label,
        a=value_interval([first[key] for key in common], step=step),
        b=value_interval([second[key] for key in common], step=step),
        gap=gap,
        n=len(common),
        same=apart.count(0.0),
        largest=max(apart),
        same_params=same_params,
    )


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
        what = f"{counted(decisive.n, 'training')} with equal settings and seeds"
        if trainings.identical == decisive.n:
            return Verdict("identical", f"{what} came out the same, every report to the last bit")
    scale, sign = (100, " points") if is_share(metric) else (1, unit(metric))
    gap = decisive.gap
    cut = possible(metric, gap, gap=True)
    said = (
        f"{what}: {scale * gap.mean:+.3g} [{scale * cut.low:+.3g}, {scale * cut.high:+.3g}]{sign}"
    )
    outcome = outcome_of(gap.low, gap.high, tolerance)
    if tolerance is None:
        includes = "includes" if outcome == "no difference shown" else "does not include"
        return Verdict(outcome, f"{said}; the interval {includes} 0")
    place = {"equal": "lies within", "different": "lies outside", "undecided": "reaches across"}
    bound = f"the tolerance of {scale * tolerance:g}{sign}"
    more = ": more seeds would tell" if outcome == "undecided" else ""
    return Verdict(outcome, f"{said}; the interval {place[outcome]} {bound}{more}")
