"""Tune's ASHA as the book's pruners are: fair."""

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from objectives.base import Task
from studies.planning.plan import Plan


class FairAsha:
    """One ASHA for each choice; a default configuration is compared with, but never stopped.

    Args:
        create: makes one.
        metric: what it compares.
        scientific: the parameter whose choices are kept apart.
        defaults: so many trials, the first ones, are default configurations.
        is_rung: whether a step is the first one of a rung. Asked at another one, Tune enters a
            trial that was not asked before with the value of that step.
    """

    def __init__(
        self,
        create: Callable[[], TrialScheduler],
        *,
        metric: str,
        scientific: str,
        defaults: int,
        is_rung: Callable[[int], bool],
    ) -> None:
        self._metric, self._scientific, self._defaults = metric, scientific, defaults
        self._of_choice: dict[Any, TrialScheduler] = defaultdict(create)
        self._known: dict[int, Trial] = {}
        self._is_rung = is_rung

    def goes_on(self, controller: Any, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Take a report; return whether ``task`` goes on."""
        if self._metric not in metrics or not self._is_rung(step):
            return True
        asha = self._of_choice[task.params.get(self._scientific)]
        if task.number not in self._known:
            # Tune gives a trial that is run again another name, and would count it twice.
            named = cast(Trial, SimpleNamespace(trial_id=str(task.number)))
            self._known[task.number] = named
            asha.on_trial_add(controller, named)
        trial = self._known[task.number]
        result = {self._metric: metrics[self._metric], "training_iteration": step}
        decision = asha.on_trial_result(controller, trial, result)
        return task.number < self._defaults or decision == TrialScheduler.CONTINUE


def fair_asha(plan: Plan) -> FairAsha:
    """Return what stops trials of the search of ``plan`` besides the book."""
    spec, settings = plan.spec, plan.settings.engine.ray
    create = functools.partial(
        ASHAScheduler,
        metric=spec.metric,
        mode="max" if spec.direction == "maximize" else "min",
        max_t=plan.most_reports,
        grace_period=settings.asha_grace,
        reduction_factor=settings.asha_factor,
        stop_last_trials=False,  # who is at the end has its full budget
    )
    grace, factor = settings.asha_grace, settings.asha_factor
    count = int(math.log(max(1, plan.most_reports / grace), factor)) + 1
    rungs = {math.ceil(grace * factor**rung) for rung in range(count)}
    return FairAsha(
        create,
        metric=spec.metric,
        scientific=spec.scientific,
        defaults=len(spec.defaults),
        is_rung=rungs.__contains__,
    )
