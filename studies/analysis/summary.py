"""The result of a study, worked out from its records alone."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from optuna.trial import FrozenTrial

from mnist_core.evaluation.right_answers import RightAnswers
from studies.analysis.candidates import Candidate, candidates
from studies.analysis.doubts import on_bound, pruner_would_stop_winner, seed_spread
from studies.analysis.holdout_record import HoldoutRecord
from studies.analysis.pareto import front_of
from studies.analysis.replay import Pruner
from studies.analysis.result import Row, StudyResult, metric_on_test
from studies.analysis.verdict import reach_verdicts
from studies.core.trials import Forked, TrialRecord, TrialState, tally
from studies.planning.plan import Plan
from studies.search.enqueued import identity
from studies.search.stopping import Stop
from studies.statistics.intervals import Interval, mean_interval, paired_difference, value_interval
from studies.statistics.verdicts import Judgement


def summarize(
    plan: Plan,
    search: Sequence[TrialRecord],
    confirm: Sequence[TrialRecord],
    test: HoldoutRecord,
    *,
    environment: Mapping[str, Any] | None = None,
    trained: int = 0,
    stopped: Stop | None = None,
    race: Mapping[str, int] | None = None,
    trials: Sequence[FrozenTrial] = (),
    forked: Forked | None = None,
) -> StudyResult:
    """Work out the result from the records of search and confirmation."""
    spec, goals = plan.spec, plan.goals
    confirmed = candidates(spec, goals, search, front=plan.settings.confirm.front)
    chosen = {candidate.label: candidate for candidate in confirmed}
    # By params, as one configuration may have two labels.
    records = {
        label: tuple(r for r in confirm if r.params == candidate.params)
        for label, candidate in chosen.items()
    }
    complete = {
        label: tuple(r for r in of_label if r.complete and r.value is not None)
        for label, of_label in records.items()
    }
    values = {
        label: {r.seed: r.value for r in of_label if r.value is not None}
        for label, of_label in complete.items()
    }
    (default,) = _defaults(chosen)
    tuned = [candidate.params for label, candidate in chosen.items() if label != default]
    rivals = dict(values)
    # Where the search found nothing better, one row counts; what is infeasible wins nothing.
    if chosen[default].params in tuned or not chosen[default].feasible:
        del rivals[default]
    step = metric_step(spec.metric, chain.from_iterable(complete.values()))
    of_choice = {
        label: [r for r in search if _is_of(r, label, candidate, spec.scientific)]
        for label, candidate in chosen.items()
    }
    ended = {
        label: {r.seed for r in of_label if r.state in (TrialState.COMPLETE, TrialState.FAIL)}
        for label, of_label in records.items()
    }
    raced = {
        label: len(ended[label])
        for label, candidate in chosen.items()
        if race and identity(candidate.params) in race
        # Seeds may have been trained before the race, or by another run without one.
        if len(ended[label]) < plan.confirm_seeds
    }
    failed = {label: len(ended[label] - values[label].keys()) for label in chosen}
    verdicts = reach_verdicts(
        rivals,
        direction=spec.direction,
        step=step,
        default=_compared_with(default, rivals, chosen, several=goals.several),
        stopped=raced,
        failed=[label for label, count in failed.items() if count],
        complete=complete,
        trials={
            label: [r for r in of_label if r.complete and r.feasible]
            for label, of_label in of_choice.items()
            if not chosen[label].default
        },
    )
    configurations = verdicts.configurations
    best = configurations.comparison.best if configurations else None
    shown = _Shown(judged=configurations, step=step, sign=goals.sign)
    rows = []
    for label in chosen if goals.several else (*map(str, spec.choices), *_defaults(chosen)):
        candidate = chosen.get(label)
        of_label = complete.get(label, ())
        by_seed = values.get(label, {})
        # The default may be the best one of its choice: one configuration, so one interval.
        judged_as = label
        if candidate is not None and label not in rivals:
            judged_as = next((n for n in rivals if chosen[n].params == candidate.params), label)
        lost = configurations.collapsed.get(judged_as) if configurations else None
        own = [r for r in search if _is_of(r, label, candidate, spec.scientific)]
        states = _states(own)
        # The same configuration under two labels is trained once: it has no difference.
        differs = {
            other: bool(other and candidate and candidate.params != chosen[other].params)
            for other in (best, default)
        }
        rows.append(
            Row(
                label=label,
                candidate=candidate,
                complete=states.get(TrialState.COMPLETE, 0),
                pruned=states.get(TrialState.PRUNED, 0),
                failed=states.get(TrialState.FAIL, 0),
                values=by_seed,
                confirm=shown.interval(judged_as, by_seed),
                gap=(
                    shown.gap(judged_as, by_seed, values[best])
                    if best and differs[best] and lost is None
                    else None
                ),
                test=_test_interval(
                    [r for r in of_label if lost is None or r.seed not in lost.seeds],
                    test,
                    metric_on_test(spec.metric),
                ),
                seconds=_mean([r.seconds for r in of_label if r.seconds is not None]),
                confirm_failed=failed.get(label, 0),
                on_bound=(
                    on_bound(spec.space, candidate.params, [r.params for r in own])
                    if candidate and not candidate.default
                    else ()
                ),
                stopped_after=raced.get(label),
                gap_to_default=shown.to_default(judged_as, by_seed) if differs[default] else None,
                collapsed=lost,
                luck=verdicts.luck.get(label),
            )
        )
    rows.sort(
        # Means over a part of the seeds are not compared with the others'.
        key=lambda row: (
            row.confirm is None,
            row.stopped_after is not None
            or ((row.confirm_failed > 0 or row.collapsed is not None) and row.label != best),
            -goals.sign * row.confirm.mean if row.confirm else math.inf,
        )
    )
    return StudyResult(
        plan=plan,
        rows=tuple(rows),
        best=best,
        verdicts=verdicts,
        test=test,
        confirm=complete,
        states=_states(search),
        failures=failure_reasons(search),
        environment=environment or {},
        trained=trained,
        stopped=stopped,
        forked=forked,
        seed_spread=seed_spread(list(of.values()) for of in rivals.values()),
        pruner_stops_winner=pruner_would_stop_winner(
            Pruner.of(plan),
            chosen[best].params,
            search_trial=chosen[best].search_trial,
            curves=[record.curve for record in complete[best]],
            trials=trials,
        )
        if best is not None and not goals.several
        else None,
        front=tuple(front_of(goals, search)) if goals.several else (),
    )


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The intervals that the table shows: simultaneous ones, where the verdict has them."""

    judged: Judgement | None
    step: float
    sign: float

    def interval(self, label: str, by_seed: Mapping[int, float]) -> Interval | None:
        """Return the interval of a row's mean; without its collapsed seeds; None: no value."""
        if not by_seed:
            return None
        if self.judged is not None and label in self.judged.intervals:
            own = mean_interval(list(by_seed.values()))
            return replace(self.judged.intervals[label], sd=own.sd)
        lost = self.judged.collapsed.get(label) if self.judged is not None else None
        sound = [value for seed, value in by_seed.items() if not lost or seed not in lost.seeds]
        return value_interval(sound or list(by_seed.values()), step=self.step)

    def gap(
        self, label: str, by_seed: Mapping[int, float], best: Mapping[int, float]
    ) -> Interval | None:
        """Return a row's mean minus the best one's; of one that was stopped by the common seeds."""
        margins = self.judged.comparison.margins if self.judged is not None else {}
        if label not in margins:
            return paired_difference(by_seed, best, step=self.step)
        one = margins[label]
        if self.sign > 0:
            return one
        return replace(one, mean=-one.mean, low=-one.high, high=-one.low)

    def to_default(self, label: str, by_seed: Mapping[int, float]) -> Interval | None:
        """Return a row's mean minus the default's; the intervals of all rows hold together."""
        gain = self.judged.gains.get(label) if self.judged is not None else None
        if gain is None:
            return None
        low, high = sorted(self.sign * end for end in (gain.low, gain.high))
        mean = self.sign * gain.difference
        return Interval(n=len(by_seed), mean=mean, sd=math.nan, low=low, high=high)


def failure_reasons(records: Iterable[TrialRecord]) -> tuple[tuple[str, int], ...]:
    """Count the reasons of the failed trials (``kind: message``), most frequent first."""
    failures = [record.failure for record in records if record.ending == TrialState.FAIL]
    return tally(f"{one.kind}: {one.message}" if one else "unknown" for one in failures)


def _compared_with(
    default: str, rivals: Mapping[str, Any], chosen: Mapping[str, Candidate], *, several: bool
) -> str | None:
    """Return the label that all others are compared with; None: the default cannot win."""
    if default in rivals or not several or not chosen[default].feasible:
        return default if default in rivals else None
    # On a front the default may be one of the trials, under which it is judged.
    return next((one for one in rivals if chosen[one].params == chosen[default].params), None)


def _defaults(chosen: Mapping[str, Candidate]) -> list[str]:
    return [label for label, candidate in chosen.items() if candidate.default]


def _is_of(record: TrialRecord, label: str, candidate: Candidate | None, scientific: str) -> bool:
    if candidate is not None and candidate.default:
        return bool(record.params == candidate.params)
    return str(record.params.get(scientific)) == label


def _states(records: Iterable[TrialRecord]) -> dict[str, int]:
    return dict(Counter(record.ending for record in records))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def metric_step(metric: str, records: Iterable[TrialRecord]) -> float:
    """Return in which steps the metric is read: an accuracy by the image (or pair); 0: unknown."""
    if not metric.endswith("accuracy"):
        return 0.0
    counts = []
    for record in records:
        if (answers := RightAnswers.of_trial(record.attributes)) is not None:
            counts.append(len(answers.right))
        elif "confusion" in record.attributes:
            counts.append(sum(map(sum, record.attributes["confusion"])))
    return 1 / min(counts) if counts else 0.0


def _test_interval(
    records: Sequence[TrialRecord], test: HoldoutRecord, name: str
) -> Interval | None:
    values = [test.values[r.number][name] for r in records if name in test.values.get(r.number, {})]
    return mean_interval(values) if values else None
