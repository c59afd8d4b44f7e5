"""What a study found so far, worked out from its records alone.

``run``, ``status``, ``export`` and the report all read the same ``StudyResult``, so none of them
can say something that the database does not hold.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.space import Choice, Space
from studies.candidates import Candidate, candidates
from studies.plan import Plan
from studies.reasons import tally
from studies.records import TrialRecord
from studies.search.stopping import Stop
from studies.statistics import (
    Interval,
    judge,
    mean_interval,
    noisy,
    paired_difference,
    value_interval,
)
from studies.test_record import Reading

# A best value within this share of a parameter's range (on its own scale) counts as on the bound.
BOUND_SHARE = 0.02
ENVIRONMENT = "environment"
"""The confirm study's user attribute that holds versions and data hashes."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the final table.

    Attributes:
        label: the choice, or the default configuration's label.
        candidate: what was confirmed; None for a choice without a COMPLETE trial.
        complete: search trials of the choice that ran their full budget.
        pruned: search trials that the pruner stopped.
        failed: search trials that failed.
        values: the metric by confirm seed.
        confirm: its mean and interval; None as long as nothing was confirmed.
        gap: this row minus the best choice, seed by seed; None for the best itself.
        test: mean and interval of the same metric on the test images.
        seconds: mean seconds of one confirm training.
        confirm_failed: confirm trainings that failed.
        on_bound: parameters whose best value lies on a bound of the space, with the bound.
    """

    label: str
    candidate: Candidate | None
    complete: int
    pruned: int
    failed: int
    values: Mapping[int, float] = field(default_factory=dict)
    confirm: Interval | None = None
    gap: Interval | None = None
    test: Interval | None = None
    seconds: float | None = None
    confirm_failed: int = 0
    on_bound: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study found; ``rows`` are sorted, best first, those without a value last.

    Attributes:
        plan: the plan the records belong to.
        rows: one for each choice of the scientific parameter, and one for the default.
        best: label of the best row by confirm mean, the default configuration's included; None as
            long as nothing was confirmed.
        ties: labels that cannot be told apart from the best.
        noisy: labels whose seeds differ too much to say anything of them.
        to_default: best minus default configuration, seed by seed; None if the best is it.
        test: the reading of the test set.
        confirm: the COMPLETE confirm records by label, in the order of the seeds.
        states: number of search trials by state.
        failures: how often each reason of failure came, most frequent first.
        environment: versions and data hashes of the confirmation, see ``environment.describe``.
        trained: trainings that this run ended; 0 for a study that was finished before.
        stopped: why the search was ended before its last trial; None: it was not.
    """

    plan: Plan
    rows: tuple[Row, ...]
    best: str | None
    ties: tuple[str, ...]
    to_default: Interval | None
    test: Reading
    confirm: Mapping[str, tuple[TrialRecord, ...]]
    states: Mapping[str, int]
    failures: tuple[tuple[str, int], ...]
    noisy: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    trained: int = 0
    stopped: Stop | None = None

    @property
    def best_row(self) -> Row | None:
        """The row with the best confirm mean."""
        return next((row for row in self.rows if row.label == self.best), None)

    @property
    def default_row(self) -> Row | None:
        """The row of the default configuration, which may be the best one itself."""
        return next((row for row in self.rows if row.candidate and row.candidate.default), None)


def summarize(
    plan: Plan,
    search: Sequence[TrialRecord],
    confirm: Sequence[TrialRecord],
    test: Reading,
    *,
    environment: Mapping[str, Any] | None = None,
    trained: int = 0,
    stopped: Stop | None = None,
) -> StudyResult:
    """Work out the result from the records of search and confirmation."""
    spec = plan.spec
    chosen = {candidate.label: candidate for candidate in candidates(plan, search)}
    records = {
        label: tuple(r for r in confirm if r.params == candidate.params)
        for label, candidate in chosen.items()
    }
    complete = {
        label: tuple(r for r in of_label if r.state == "COMPLETE" and r.value is not None)
        for label, of_label in records.items()
    }
    values = {
        label: {r.seed: r.value for r in of_label if r.value is not None}
        for label, of_label in complete.items()
    }
    (default,) = _defaults(chosen)
    tuned = [candidate.params for label, candidate in chosen.items() if label != default]
    rivals = dict(values)
    if chosen[default].params in tuned:  # the search found nothing better: one row counts
        del rivals[default]
    step = _step(spec.metric, complete)
    verdict = judge(rivals, direction=spec.direction, step=step)
    intervals = {
        label: value_interval(list(by_seed.values()), step=step)
        for label, by_seed in values.items()
        if by_seed
    }
    best = verdict.best if verdict else None
    rows = []
    for label in (*map(str, spec.choices), *_defaults(chosen)):
        candidate = chosen.get(label)
        of_label = complete.get(label, ())
        by_seed = values.get(label, {})
        states = _states(r for r in search if _is_of(r, label, candidate, spec.scientific))
        gap = None
        if best and label != best:
            gap = paired_difference(by_seed, values[best], step=step)
        rows.append(
            Row(
                label=label,
                candidate=candidate,
                complete=states.get("COMPLETE", 0),
                pruned=states.get("PRUNED", 0),
                failed=states.get("FAIL", 0),
                values=by_seed,
                confirm=intervals.get(label),
                gap=gap,
                test=_test_interval(of_label, test, plan),
                seconds=_mean([r.seconds for r in of_label if r.seconds is not None]),
                confirm_failed=len(
                    {r.seed for r in records.get(label, ()) if r.state == "FAIL"} - by_seed.keys()
                ),
                on_bound=(
                    on_bound(spec.space, candidate.params)
                    if candidate and not candidate.default
                    else ()
                ),
            )
        )
    sign = 1.0 if spec.direction == "maximize" else -1.0
    rows.sort(key=lambda row: -sign * row.confirm.mean if row.confirm else math.inf)
    to_default = None
    if best is not None and chosen[best].params != chosen[default].params:
        to_default = paired_difference(values[best], values[default], step=step)
    return StudyResult(
        plan=plan,
        rows=tuple(rows),
        best=best,
        ties=verdict.ties if verdict else (),
        noisy=noisy({label: intervals[label] for label in rivals if label in intervals}),
        to_default=to_default,
        test=test,
        confirm=complete,
        states=_states(search),
        failures=failure_reasons(search),
        environment=environment or {},
        trained=trained,
        stopped=stopped,
    )


def on_bound(space: Space, params: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the numeric parameters that lie on a bound of ``space``, e.g. ``adam.lr = 0.1 (high)``.

    On a bound means within 2 % of the range, measured on the parameter's own (log) scale.
    """
    found = []
    for name, value in params.items():
        parameter = space.parameters[name]
        if isinstance(parameter, Choice) or parameter.low == parameter.high:
            continue
        scale = math.log if parameter.log else float
        low, high, at = scale(parameter.low), scale(parameter.high), scale(value)
        share = (at - low) / (high - low)
        if share <= BOUND_SHARE:
            found.append(f"{name} = {value:.3g} (lower bound {parameter.low:g})")
        elif share >= 1 - BOUND_SHARE:
            found.append(f"{name} = {value:.3g} (upper bound {parameter.high:g})")
    return tuple(found)


def failure_reasons(records: Iterable[TrialRecord]) -> tuple[tuple[str, int], ...]:
    """Count the reasons of the failed trials (``kind: message``), most frequent first."""
    failures = [record.failure for record in records if record.state == "FAIL"]
    return tally(f"{one.kind}: {one.message}" if one else "unknown" for one in failures)


def _defaults(chosen: Mapping[str, Candidate]) -> list[str]:
    return [label for label, candidate in chosen.items() if candidate.default]


def _is_of(record: TrialRecord, label: str, candidate: Candidate | None, scientific: str) -> bool:
    """Whether a search trial counts for the row: all of a choice, or the default's own one."""
    if candidate is not None and candidate.default:
        return bool(record.params == candidate.params)
    return str(record.params.get(scientific)) == label


def _states(records: Iterable[TrialRecord]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in records:
        counts[record.state] = counts.get(record.state, 0) + 1
    return counts


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _step(metric: str, complete: Mapping[str, Sequence[TrialRecord]]) -> float:
    """Return in which steps the metric is read: an accuracy by the image (or pair); 0: unknown."""
    if not metric.endswith("accuracy"):
        return 0.0
    counts = [
        sum(map(sum, record.attributes["confusion"]))
        for of_label in complete.values()
        for record in of_label
        if "confusion" in record.attributes
    ]
    return 1 / min(counts) if counts else 0.0


def _test_interval(records: Sequence[TrialRecord], test: Reading, plan: Plan) -> Interval | None:
    name = metric_on_test(plan.spec.metric)
    values = [test.values[r.number][name] for r in records if name in test.values.get(r.number, {})]
    return mean_interval(values) if values else None


def metric_on_test(metric: str) -> str:
    """Return the test set's name of a validation metric: ``val_accuracy`` -> ``test_accuracy``."""
    return f"test_{metric.removeprefix('val_')}"
