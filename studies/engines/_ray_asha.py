"""Tune's ASHA as the book's pruners are: fair."""

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

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
    """

    def __init__(
        self,
        create: Callable[[], TrialScheduler],
        *,
        metric: str,
        scientific: str,
        defaults: int,
    ) -> None:
        self._metric, self._scientific, self._defaults = metric, scientific, defaults
        self._of_choice: dict[Any, TrialScheduler] = defaultdict(create)
        self._known: set[str] = set()

    def goes_on(
        self, controller: Any, trial: Trial, task: Task, step: int, metrics: Mapping[str, float]
    ) -> bool:
        """Take a report; return whether ``task`` goes on."""
        if self._metric not in metrics:
            return True
        asha = self._of_choice[task.params.get(self._scientific)]
        if trial.trial_id not in self._known:
            self._known.add(trial.trial_id)
            asha.on_trial_add(controller, trial)
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
        max_t=plan.train.epochs * plan.train.reports_per_epoch,
        grace_period=settings.asha_grace,
        reduction_factor=settings.asha_factor,
        stop_last_trials=False,  # who is at the end has its full budget
    )
    return FairAsha(
        create, metric=spec.metric, scientific=spec.scientific, defaults=len(spec.defaults)
    )
