"""Two studies compared: two environments (CPU and GPU), two commits, or two questions.

Three things are compared, each as B less A:

* *The same trainings*: those with equal hyperparameters and an equal seed in both, where data and
  all other settings that say what is trained are equal, too. Whatever differs between them is the
  environment's doing; they are paired one by one.
* *Each configuration* that both confirmed under one label (a choice, or the default one): paired by
  seed where their seeds are equal, otherwise by Welch's interval. The configurations may differ,
  since each study found its own.
* *The best of both.*

The verdict is that of the same trainings; where there are fewer than two, that of the best ones.
Intervals are 95 % t intervals and cover the randomness of training, not the choice of the images.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mnist_core.comparison.compare import COMPUTED
from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from studies.analysis.candidates import candidates
from studies.analysis.stored_study import Stored
from studies.core.formatting import is_share, possible, unit
from studies.core.statistics import Interval, paired_difference, value_interval, welch
from studies.core.trials import TrialRecord
from studies.planning.fingerprint import differences

Outcome = Literal["identical", "equal", "no difference shown", "undecided", "different"]
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One thing that both studies have.

    Attributes:
        label: what.
        a: mean and interval in A.
        b: mean and interval in B.
        gap: B less A.
        paired: whether seed by seed, or training by training.
        n: pairs; 0 where it is not paired.
        same: how many of the pairs have the very same value.
        largest: greatest difference of a pair; NaN where it is not paired.
        same_params: whether the hyperparameters are the same.
    """

    label: str
    a: Interval
    b: Interval
    gap: Interval
    paired: bool
    n: int = 0
    same: int = 0
    largest: float = math.nan
    same_params: bool = True


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """The same trainings of both studies.

    Attributes:
        gap: of their final values; None: there are none.
        identical: how many have every report the same, to the last bit.
        seconds: time of B's over time of A's; NaN where it is not known.
    """

    gap: Gap | None
    identical: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What comes out.

    Attributes:
        metric: that both measured.
        settings: what differs in what is measured, e.g. ``train.epochs: 5 -> 6``.
        environment: what differs in devices and versions, in the same form.
        trainings: the same ones.
        rows: of the configurations that both confirmed.
        best: of the best of both; None: one has confirmed nothing.
        outcome: the verdict in a word.
        sentence: and why.
    """

    metric: str
    settings: tuple[str, ...]
    environment: tuple[str, ...]
    trainings: Trainings
    rows: tuple[Gap, ...]
    best: Gap | None
    outcome: Outcome
    sentence: str


def compare(a: Stored, b: Stored, *, tolerance: float | None = None) -> Comparison:
    """Compare two studies.

    Args:
        a: one.
        b: the other; differences are B less A.
        tolerance: greatest difference that counts as equal, in the metric's unit; None: whatever
            the interval does not show to be different from 0.

    Raises:
        UserError: they measure different metrics, or have nothing in common.
    """
    metric = a.plan.spec.metric
    if b.plan.spec.metric != metric:
        raise UserError(f"A measures {metric} and B {b.plan.spec.metric}, which cannot be compared")
    alike = _measured(a) == _measured(b)
    trainings = _trainings(a, b) if alike else _NO_TRAININGS
    found = _confirmed(a), _confirmed(b)
    step = _step(a, b)
    rows = tuple(
        _gap(label, found[0][label], found[1][label], step, alike)
        for label in found[0]
        if label in found[1]
    )
    tops = tuple(_top(one, which) for one, which in zip((a, b), found, strict=True))
    best = None
    if tops[0] and tops[1]:
        first, second = tops
        title = first if first == second else f"{first} and {second}"
        best = _gap(f"the best: {title}", found[0][first], found[1][second], step, alike)
    judged = trainings.gap if trainings.gap is not None and trainings.gap.n > 1 else best
    if judged is None:
        raise UserError(
            "A and B have neither two trainings with equal settings and seeds nor a confirmed"
            " configuration each, so there is nothing to compare"
        )
    outcome, sentence = _judge(judged, trainings, metric, tolerance)
    return Comparison(
        metric=metric,
        settings=tuple(differences(a.settings, b.settings)),
        environment=tuple(differences(_environment(a), _environment(b))),
        trainings=trainings,
        rows=rows,
        best=best,
        outcome=outcome,
        sentence=sentence,
    )


_NO_TRAININGS = Trainings(gap=None, identical=0, seconds=math.nan)


def _measured(found: Stored) -> dict[str, object]:
    """Return what two trainings of equal hyperparameters and seed must share to be the same.

    How they are computed (precision, compilation …) is of the environment that is compared.
    """
    train = found.settings.get("train", {})
    return {
        **{name: found.settings.get(name) for name in ("objective", "metric", "data")},
        "train": {name: value for name, value in train.items() if name not in COMPUTED},
    }


def _trainings(a: Stored, b: Stored) -> Trainings:
    first, second = _by_training(a), _by_training(b)
    common = [key for key in first if key in second]
    if not common:
        return _NO_TRAININGS
    pairs = [(first[key], second[key]) for key in common]
    identical = sum(x.curve == y.curve and x.value == y.value for x, y in pairs)
    times = [(x.seconds, y.seconds) for x, y in pairs if x.seconds and y.seconds]
    seconds = (
        sum(y or 0.0 for _, y in times) / sum(x or 0.0 for x, _ in times) if times else math.nan
    )
    step = _step(a, b)
    values = (
        {index: x.value or 0.0 for index, (x, _) in enumerate(pairs)},
        {index: y.value or 0.0 for index, (_, y) in enumerate(pairs)},
    )
    return Trainings(
        gap=_paired("the same trainings", *values, step=step, alike=True, same_params=True),
        identical=identical,
        seconds=seconds,
    )


def _by_training(found: Stored) -> dict[str, TrialRecord]:
    """Return the trainings of full budget by hyperparameters and seed."""
    return {
        json.dumps([record.params, record.seed], sort_keys=True): record
        for record in (*found.search, *found.confirm)
        if record.state == "COMPLETE" and record.value is not None
    }


def _confirmed(found: Stored) -> dict[str, list[TrialRecord]]:
    """Return the confirm trainings by label; those of one configuration may have two labels."""
    complete = [r for r in found.confirm if r.state == "COMPLETE" and r.value is not None]
    rows = {
        one.label: [record for record in complete if record.params == one.params]
        for one in candidates(found.plan, found.search)
    }
    return {label: records for label, records in rows.items() if records}


def _top(found: Stored, rows: Mapping[str, list[TrialRecord]]) -> str:
    """Return the label with the best mean, as the study's own verdict has it; "": none."""
    sign = 1.0 if found.plan.spec.direction == "maximize" else -1.0

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
        gap=welch(*values, rounding=step / math.sqrt(12)),
        paired=False,
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
    apart = [round(abs(second[key] - first[key]), 12) for key in common]
    # If the same trainings all gave the same value, that is no accident of rounding. If some did
    # not, what they gave is as rounded as any value: two that are one image apart show nothing.
    exact = alike and not any(apart)
    gap = paired_difference(second, first, step=0.0 if exact else step)
    assert gap is not None
    return Gap(
        label=label,
        a=value_interval([first[key] for key in common], step=step),
        b=value_interval([second[key] for key in common], step=step),
        gap=gap,
        paired=True,
        n=len(common),
        same=sum(distance == 0 for distance in apart),
        largest=max(apart),
        same_params=same_params,
    )


def _step(a: Stored, b: Stored) -> float:
    """Return in which steps the metric is read, as ``result.py`` does; 0.0: unknown."""
    if not a.plan.spec.metric.endswith("accuracy"):
        return 0.0
    counts = [
        sum(map(sum, record.attributes["confusion"]))
        for record in (*a.search, *a.confirm, *b.search, *b.confirm)
        if "confusion" in record.attributes
    ]
    return 1 / min(counts) if counts else 0.0


def _environment(found: Stored) -> dict[str, object]:
    """Return where and with what a study was run."""
    records = [record for record in (*found.search, *found.confirm) if record.attributes]
    known: dict[str, object] = {}
    for name in ("device", "device_name", "precision", "threads"):
        seen = sorted({str(r.attributes[name]) for r in records if name in r.attributes})
        known[name] = " and ".join(seen) or "not recorded"
    return {**known, "versions": dict((found.described or {}).get("versions", {}))}


def _judge(
    judged: Gap, trainings: Trainings, metric: str, tolerance: float | None
) -> tuple[Outcome, str]:
    scale, sign = (100, " points") if is_share(metric) else (1, unit(metric))
    gap = judged.gap
    what = (
        f"{counted(judged.n, 'training')} with equal settings and seeds"
        if judged is trainings.gap
        else judged.label
    )
    cut = possible(metric, gap, gap=True)
    said = (
        f"{what}: {scale * gap.mean:+.3g} [{scale * cut.low:+.3g}, {scale * cut.high:+.3g}]{sign}"
    )
    if judged is trainings.gap and trainings.identical == judged.n:
        return "identical", f"{what} came out the same, every report to the last bit"
    if tolerance is None:
        if gap.includes(0.0):
            return "no difference shown", f"{said}; the interval includes 0"
        return "different", f"{said}; the interval does not include 0"
    bound = f"the tolerance of {scale * tolerance:g}{sign}"
    allowed = tolerance + _ROUNDING
    if max(abs(gap.low), abs(gap.high)) <= allowed:
        return "equal", f"{said}; all of the interval is within {bound}"
    if gap.low > allowed or gap.high < -allowed:
        return "different", f"{said}; all of the interval is outside {bound}"
    return "undecided", f"{said}; the interval reaches across {bound}: more seeds would tell"
