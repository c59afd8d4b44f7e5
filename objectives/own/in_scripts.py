"""An objective in a script that runs its trials itself, with Optuna or Ray Tune."""

import inspect
import os
from typing import Any

from objectives.base import Objective
from objectives.own.description import held
from objectives.own.run_trial import OwnObjective


def as_objective(objective: Any, metric: str) -> Objective:
    """Return ``objective`` itself if it takes a task, or else what calls it with params.

    ``metric``: what a number that it reports or returns stands for.

    Raises:
        ConfigError: if it takes other arguments.
    """
    if _takes_a_task(objective):
        made: Objective = objective
        return made
    # Ray Tune changes the working directory, in which a command runs.
    return OwnObjective(own=held(objective), metric=metric, folder=os.getcwd())


def _takes_a_task(objective: Any) -> bool:
    if inspect.isclass(objective) or not callable(objective):
        return False
    return next(iter(inspect.signature(objective).parameters), "") == "task"
