"""An objective of this project for a plain ``study.optimize``.

objective = as_optuna_objective(Classification(base, SPACE), SPACE, seed=0)
optuna.create_study(direction="maximize").optimize(objective, n_trials=20)
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from objectives.base import Objective, StopTraining, Task
from search_spaces.space import Float, Int, Parameter, Space


def as_optuna_objective(
    objective: Objective, space: Space, *, seed: int, metric: str = "val_accuracy"
) -> Callable[[optuna.Trial], float]:
    """Return ``objective`` as a function of an Optuna trial, which keeps metrics and attributes.

    An error of the objective passes through: see ``catch=`` of ``study.optimize``.
    """

    def run(trial: optuna.Trial) -> float:
        params = space.walk(lambda name, parameter: _suggest(trial, name, parameter))
        task = Task(number=trial.number, params=params, seed=_seed(seed, trial.number))
        trial.set_user_attr("seed", task.seed)

        def report(step: int, metrics: Mapping[str, float]) -> None:
            trial.report(metrics[metric], step)
            if trial.should_prune():
                raise StopTraining

        try:
            outcome = objective(task, report)
        except StopTraining:
            raise optuna.TrialPruned from None
        trial.set_user_attr("metrics", dict(outcome.metrics))
        for name, value in outcome.attributes.items():
            trial.set_user_attr(name, value)
        if outcome.stopped:
            raise optuna.TrialPruned
        return float(outcome.metrics[metric])

    return run


def _suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Float):
        return trial.suggest_float(
            name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
        )
    if isinstance(parameter, Int):
        step = parameter.step or 1
        return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log, step=step)
    return trial.suggest_categorical(name, parameter.choices)


def _seed(seed: int, number: int) -> int:
    """Return the seed that the trial has in a study of this project, too."""
    digest = hashlib.sha256(f"trial:{seed}:{number}".encode()).digest()[:16]
    return int.from_bytes(digest, "big") % (1 << 62)
