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
from studies.planning.plan import Plan
from studies.search.pruners import with_resources
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


def _step_seconds(curve: Curve) -> float:
    return curve.seconds / len(curve.reports)
