"""A study's pruner shown to curves again, and the trials that are made up for that."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.analysis.audit_curves import Curve
from studies.core.attributes import PAUSE
from studies.core.pauses import Pause
from studies.planning.plan import Plan
from studies.search.pausing import FreezeThawPruner, Pausing
from studies.search.pruners import PRUNERS, create_pruner, with_resources
from studies.search.pruning import FairPruning

_ANY_TIME = datetime(2000, 1, 1)


def made_trial(
    number: int,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    *,
    value: float | None = None,
) -> FrozenTrial:
    """Return a trial that no storage holds: COMPLETE if it has a value, else RUNNING."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
        value=value,
        datetime_start=_ANY_TIME,
        datetime_complete=None if value is None else _ANY_TIME,
        params=dict(params),
        distributions=dict(distributions),
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """A pruner with its options as the settings have them.

    Attributes:
        reports: the most reports that a trial makes, from which rungs follow.
        scientific: the parameter whose choices are kept apart.
    """

    name: str
    options: Mapping[str, Any]
    reports: int
    scientific: str
    direction: StudyDirection

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the study's own pruner."""
        return cls(
            name=plan.settings.search.pruner,
            options=dict(plan.settings.search.pruner_options),
            reports=plan.most_reports,
            scientific=plan.spec.scientific,
            direction=StudyDirection[plan.spec.direction.upper()],
        )

    def start(self) -> FairPruning:
        """Return it as it is before the first trial; it writes no marks."""
        return FairPruning(
            self.name,
            with_resources(self.name, self.options, self.reports),
            scientific=self.scientific,
            direction=self.direction,
            write=lambda *mark: None,
        )


@dataclass(frozen=True)
class Replayed:
    """What a pruner did to curves.

    Attributes:
        stopped_at: for each curve the step at which it was stopped; None: it ran to its end.
        seconds: training time of all together.
        makespan: seconds from the first start to the last end.
    """

    stopped_at: tuple[int | None, ...]
    seconds: float
    makespan: float


def replay(curves: Sequence[Curve], pruner: Pruner, *, workers: int = 1) -> Replayed:
    """Run ``curves``, in the order in which they start, through ``pruner``.

    ``workers`` trials, >= 1, run at the same time.
    """
    if PRUNERS[pruner.name].pauses:
        return _PausingReplay(curves, pruner, workers).go()
    pruning = pruner.start()
    kinds = CategoricalDistribution(tuple(sorted({curve.choice for curve in curves})))
    trials: list[FrozenTrial] = []
    stopped: list[int | None] = [None] * len(curves)
    seconds = makespan = 0.0
    events: list[tuple[float, int, int]] = []  # time, trial, index of the report

    def begin(now: float) -> None:
        if (number := len(trials)) < len(curves):
            params = {pruner.scientific: curves[number].choice}
            trials.append(made_trial(number, params, {pruner.scientific: kinds}))
            heapq.heappush(events, (now + _step_seconds(curves[number]), number, 0))

    # More workers know less of each other when a decision falls, so their number matters.
    for _ in range(workers):
        begin(0.0)
    while events:
        now, number, index = heapq.heappop(events)
        curve, trial = curves[number], trials[number]
        step, value = curve.reports[index]
        trial.intermediate_values[step] = value
        stops = not curve.exempt and pruning.should_prune(trial, trials)
        last = index == len(curve.reports) - 1
        if not last and not stops:
            heapq.heappush(events, (now + _step_seconds(curve), number, index + 1))
            continue
        trial.state = TrialState.COMPLETE if last else TrialState.PRUNED
        trial.value = curve.value if last else value
        stopped[number] = None if last else step
        seconds += _step_seconds(curve) * (index + 1)
        makespan = max(makespan, now)
        begin(now)
    return Replayed(tuple(stopped), seconds, makespan)


class _PausingReplay:
    """Runs curves through a pruner that pauses trials and continues the best."""

    def __init__(self, curves: Sequence[Curve], pruner: Pruner, workers: int) -> None:
        made = create_pruner(
            pruner.name, with_resources(pruner.name, pruner.options, pruner.reports)
        )
        assert isinstance(made, FreezeThawPruner)
        self._curves, self._workers = curves, workers
        self._rule = Pausing(
            pruner=made,
            reports=pruner.reports,
            scientific=pruner.scientific,
            direction=pruner.direction,
            may_prune=lambda number: not curves[number].exempt,
        )
        self._scientific = pruner.scientific
        self._kinds = CategoricalDistribution(tuple(sorted({curve.choice for curve in curves})))
        self._trials: dict[int, FrozenTrial] = {}
        self._events: list[tuple[float, int, int]] = []  # time, trial, index of the report

    def go(self) -> Replayed:
        """Run all curves."""
        seconds = makespan = 0.0
        self._start(0.0)
        while self._events:
            now, number, index = heapq.heappop(self._events)
            seconds, makespan = seconds + _step_seconds(self._curves[number]), now
            if self._goes_on(number, index):
                self._push(now, number, index + 1)
            self._start(now)
        stopped = (self._stopped_at(number) for number in range(len(self._curves)))
        return Replayed(tuple(stopped), seconds, makespan)

    def _goes_on(self, number: int, index: int) -> bool:
        """Take in a report; return whether the trial trains on."""
        curve, trial, rule = self._curves[number], self._trials[number], self._rule
        step, value = curve.reports[index]
        trial.intermediate_values[step] = value
        if index == len(curve.reports) - 1:
            trial.state, trial.value = TrialState.COMPLETE, curve.value
            return False
        if step < rule.ends_at(trial, self._trials):
            return True
        continues = rule.continues(trial, self._trials.values())
        self._pause(trial, step, rule.after(step) if continues else 0)
        return continues

    def _start(self, now: float) -> None:
        """Give each free worker a paused trial that is due, or else a new one."""
        while len(self._events) < self._workers:
            due = self._rule.next(list(self._trials.values()))
            if due is not None:
                trial = self._trials[due]
                at = trial.last_step
                assert at is not None
                self._pause(trial, at, self._rule.after(at))
                self._push(now, due, len(trial.intermediate_values))
            elif (number := len(self._trials)) < len(self._curves):
                params = {self._scientific: self._curves[number].choice}
                self._trials[number] = made_trial(number, params, {self._scientific: self._kinds})
                self._push(now, number, 0)
            else:
                return

    def _pause(self, trial: FrozenTrial, at: int, until: int) -> None:
        trial.user_attrs = {PAUSE: Pause(at=at, until=until).to_attribute()}

    def _push(self, now: float, number: int, index: int) -> None:
        heapq.heappush(self._events, (now + _step_seconds(self._curves[number]), number, index))

    def _stopped_at(self, number: int) -> int | None:
        trial = self._trials[number]
        return None if trial.state is TrialState.COMPLETE else trial.last_step


def _step_seconds(curve: Curve) -> float:
    return curve.seconds / len(curve.reports)
