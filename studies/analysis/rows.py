"""The rows of the final table, made of the records of a study and its verdicts."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from studies.analysis.candidates import Candidate
from studies.analysis.doubts import on_bound
from studies.analysis.holdout_record import HoldoutRecord
from studies.analysis.result import Row
from studies.analysis.verdict import Verdicts
from studies.core.formatting import metric_on_test
from studies.core.trials import TrialRecord, TrialState
from studies.planning.plan import Plan
from studies.spec import StudySpec
from studies.statistics.intervals import (
    Interval,
    mean_interval,
    paired_difference,
    turned,
    value_interval,
)
from studies.statistics.verdicts import Judgement


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the rows are made of, by label.

    Attributes:
        default: label of the default configuration; None: the study has none.
        rivals: the metric by seed of what takes part in the verdict on configurations.
        failed: number of seeds on which the training failed.
        raced: number of seeds after which the race stopped it.
        step: the metric is read in steps of it; 0: it is continuous.
    """

    plan: Plan
    search: Sequence[TrialRecord]
    chosen: Mapping[str, Candidate]
    default: str | None
    complete: Mapping[str, tuple[TrialRecord, ...]]
    values: Mapping[str, Mapping[int, float]]
    rivals: Mapping[str, Mapping[int, float]]
    failed: Mapping[str, int]
    raced: Mapping[str, int]
    verdicts: Verdicts
    step: float
    test: HoldoutRecord

    def row(self, label: str, runners_up: Sequence[str] = ()) -> Row:
        """Return the row of a choice with its ``runners_up``, of the default or of a runner-up."""
        spec, judged, default = self.plan.spec, self.verdicts.configurations, self.default
        best = judged.comparison.best if judged else None
        shown = _Shown(judged=judged, step=self.step, sign=self.plan.goals.sign)
        candidate = self.chosen.get(label)
        runner_up = candidate is not None and candidate.runner_up
        of_label, by_seed = self.complete.get(label, ()), self.values.get(label, {})
        # The default may be the best one of its choice: one configuration, so one interval.
        judged_as = label
        if candidate is not None and label not in self.rivals and not runner_up:
            alike = (n for n in self.rivals if self.chosen[n].params == candidate.params)
            judged_as = next(alike, label)
        lost = judged.collapsed.get(judged_as) if judged else None
        own = [r for r in self.search if is_of(r, label, candidate, spec)]
        states = counted_states(own)
        # The same configuration under two labels is trained once: it has no difference.
        differs = {
            other: bool(other and candidate and candidate.params != self.chosen[other].params)
            for other in (best, default)
        }
        return Row(
            label=label,
            candidate=candidate,
            complete=states.get(TrialState.COMPLETE, 0),
            pruned=states.get(TrialState.PRUNED, 0),
            failed=states.get(TrialState.FAIL, 0),
            values=by_seed,
            confirm=shown.interval(judged_as, by_seed),
            gap=(
                shown.gap(judged_as, by_seed, self.values[best])
                if best and differs[best] and lost is None and not runner_up
                else None
            ),
            test=_test_interval(
                [r for r in of_label if lost is None or r.seed not in lost.seeds],
                self.test,
                metric_on_test(spec.metric),
            ),
            seconds=_mean([r.seconds for r in of_label if r.seconds is not None]),
            confirm_failed=self.failed.get(label, 0),
            on_bound=(
                on_bound(spec.space, candidate.params, [r.params for r in own])
                if candidate and not candidate.default
                else ()
            ),
            stopped_after=self.raced.get(label),
            gap_to_default=shown.to_default(judged_as, by_seed) if differs[default] else None,
            collapsed=lost,
            luck=self.verdicts.luck.get(label),
            # The default has a row of its own, whatever it is in its choice.
            runners_up=tuple(
                self.row(one)
                for one in runners_up
                if not default or self.chosen[one].params != self.chosen[default].params
            ),
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
        return turned(margins[label], self.sign)

    def to_default(self, label: str, by_seed: Mapping[int, float]) -> Interval | None:
        """Return a row's mean minus the default's; the intervals of all rows hold together."""
        gain = self.judged.gains.get(label) if self.judged is not None else None
        if gain is None:
            return None
        low, high = sorted(self.sign * end for end in (gain.low, gain.high))
        mean = self.sign * gain.difference
        return Interval(n=len(by_seed), mean=mean, sd=math.nan, low=low, high=high)


def is_of(record: TrialRecord, label: str, candidate: Candidate | None, spec: StudySpec) -> bool:
    """Whether a search trial counts for a row: the choice's, or the default configuration's.

    In a study without choices each row is the best of all trials, or next to it.
    """
    if candidate is not None and candidate.default:
        return bool(record.params == candidate.params)
    return not spec.compares or str(record.params.get(spec.scientific)) == label


def counted_states(records: Iterable[TrialRecord]) -> dict[str, int]:
    """Return how many of ``records`` ended in each state."""
    return dict(Counter(record.ending for record in records))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _test_interval(
    records: Sequence[TrialRecord], test: HoldoutRecord, name: str
) -> Interval | None:
    values = [test.values[r.number][name] for r in records if name in test.values.get(r.number, {})]
    return mean_interval(values) if values else None
