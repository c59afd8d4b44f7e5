"""Replaying stored full curves through a pruner: which trials it would have stopped, and when.

The pruner is Optuna's, asked as the book asks it: of each choice by itself, the defaults spared,
and a trial at its last report not stopped any more. Trials begin in a given order on as many
workers as the study had; a worker whose trial is stopped begins the next one at once. The reports
of a trial are evenly spread over its seconds, as each stands for equally many images.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.auditing.curves import Curve
from studies.search.pruning import FairPruning

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
        name: of the pruner, see ``studies/search/pruners.py``.
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
