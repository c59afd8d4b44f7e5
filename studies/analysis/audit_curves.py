"""The full curves of a study: what its pruners can be audited with."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import UserError
from studies.core.attributes import SECONDS, WOULD_PRUNE
from studies.planning.plan import Plan
from studies.search.pruning import FairPruning
from studies.storage.url import shown


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A trial that ran its full budget.

    Attributes:
        number: of the trial.
        choice: its value of the scientific parameter, as text.
        reports: step and value, in order; one or more.
        value: the final one.
        seconds: what it took.
        spared: whether it is beyond pruning, as the default configurations are.
        stopped: whether it is a sentinel that the study's own pruner would have stopped.
    """

    number: int
    choice: str
    reports: tuple[tuple[int, float], ...]
    value: float
    seconds: float
    spared: bool = False
    stopped: bool = False


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The full curves of a study.

    Attributes:
        full: by number.
        pruned: how many trials the study's pruner stopped, whose curves are cut short.
        workers: most trials that ran at the same time.
        direction: of the study.
    """

    full: tuple[Curve, ...]
    pruned: int
    workers: int
    direction: StudyDirection

    @property
    def kept(self) -> tuple[Curve, ...]:
        """Those that the study's own pruner did not stop, without the defaults."""
        return tuple(c for c in self.full if not c.spared and not c.stopped)

    @property
    def stopped(self) -> tuple[Curve, ...]:
        """Those of sentinels that the study's own pruner would have stopped."""
        return tuple(c for c in self.full if c.stopped)

    def best(self, values: Sequence[float]) -> float:
        """Return the best of ``values``."""
        return max(values) if self.direction is StudyDirection.MAXIMIZE else min(values)


def read_curves(plan: Plan) -> Curves:
    """Read the full curves of the search of ``plan``'s study.

    Raises:
        UserError: there is no such database or study, or see ``collect``.
    """
    with plan.location.opened(required=True) as studies:
        if studies.search is None:
            raise UserError(f"there is no study {plan.name!r} in {shown(plan.storage_url)}")
        return collect(plan, studies.search.get_trials(deepcopy=False))


def collect(plan: Plan, trials: Sequence[FrozenTrial]) -> Curves:
    """Return the full curves among ``trials``, which are all of the study's search.

    Raises:
        UserError: there are none but the defaults, trials report once only, or the study has
            several objectives.
    """
    if plan.settings.search.objectives:
        raise UserError(
            f"study {plan.name} has several objectives, and its pruner compares a trial with those"
            " of no more parameters only; an audit replays curves of one objective, so there is"
            " none of it"
        )
    defaults = [plan.spec.default(choice) for choice in plan.spec.choices]
    full = tuple(
        Curve(
            number=trial.number,
            choice=str(trial.params.get(plan.spec.scientific)),
            reports=tuple(sorted(trial.intermediate_values.items())),
            value=trial.value,
            seconds=_seconds(trial),
            spared=trial.number < len(defaults),
            stopped=WOULD_PRUNE in trial.system_attrs,
        )
        for trial in trials
        if trial.state is TrialState.COMPLETE
        and trial.intermediate_values
        and trial.value is not None
    )
    curves = Curves(
        full=full,
        pruned=sum(trial.state is TrialState.PRUNED for trial in trials),
        workers=_workers(trials),
        direction=StudyDirection[plan.spec.direction.upper()],
    )
    if not curves.kept:
        raise UserError(
            f"study {plan.name} has no trial, besides the defaults, that ran its full budget and"
            " was not to be pruned, so there is nothing to replay; run it first, with"
            " search.sentinels or search.pruner=none"
        )
    if all(len(curve.reports) < 2 for curve in full):
        raise UserError(
            f"the trials of study {plan.name} report once, at their end, so no pruner can save"
            " anything; raise epochs or reports_per_epoch"
        )
    return curves


def _seconds(trial: FrozenTrial) -> float:
    seconds = trial.user_attrs.get(SECONDS)
    if seconds is None and trial.datetime_start and trial.datetime_complete:
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    return float(seconds or 0.0) or 1.0


def _workers(trials: Sequence[FrozenTrial]) -> int:
    """Return the most trials that ran at the same time."""
    changes = []
    for trial in trials:
        if trial.datetime_start and trial.datetime_complete:
            changes += [(trial.datetime_start, 1), (trial.datetime_complete, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return max(1, most)


_CHOICE = "choice"
_ANY_TIME = datetime(2000, 1, 1)


@dataclass(frozen=True)
class Replayed:
    """What a pruner did to curves.

    Attributes:
        stopped_at: for each curve the step at which it was stopped, None where it ran to its end.
        seconds: training time of all together.
        makespan: seconds until the last one was over.
    """

    stopped_at: tuple[int | None, ...]
    seconds: float
    makespan: float


def replay(
    curves: Sequence[Curve],
    name: str,
    options: Mapping[str, Any],
    *,
    direction: StudyDirection,
    workers: int = 1,
) -> Replayed:
    """Run ``curves`` in order through pruner ``name``.

    Args:
        curves: in the order in which the trials begin.
        name: of the pruner, see ``studies/search/pruning.py``.
        options: of the pruner.
        direction: of the study.
        workers: trials at the same time, >= 1.
    """
    pruning = FairPruning(
        name, options, scientific=_CHOICE, direction=direction, write=lambda *mark: None
    )
    kinds = CategoricalDistribution(tuple(sorted({curve.choice for curve in curves})))
    trials: list[FrozenTrial] = []
    stopped: list[int | None] = [None] * len(curves)
    seconds = makespan = 0.0
    events: list[tuple[float, int, int]] = []  # time, trial, index of the report

    def begin(now: float) -> None:
        if (number := len(trials)) < len(curves):
            trials.append(_trial(number, curves[number], kinds))
            heapq.heappush(events, (now + _step_seconds(curves[number]), number, 0))

    for _ in range(workers):
        begin(0.0)
    while events:
        now, number, index = heapq.heappop(events)
        curve, trial = curves[number], trials[number]
        step, value = curve.reports[index]
        trial.intermediate_values[step] = value
        stops = not curve.spared and pruning.should_prune(trial, trials)
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


def _trial(number: int, curve: Curve, kinds: CategoricalDistribution) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=_ANY_TIME,
        datetime_complete=None,
        params={_CHOICE: curve.choice},
        distributions={_CHOICE: kinds},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
