"""An objective of this project, or a function of one's own, for a plain ``study.optimize``.

objective = as_optuna_objective(Classification(base, SPACE), SPACE, seed=0)
optuna.create_study(direction="maximize").optimize(objective, n_trials=20)
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from objectives.base import StopTraining, Task, TrainingError
from objectives.own.in_scripts import as_objective
from search_spaces.space import Space


def as_optuna_objective(
    objective: Any, space: Space, *, seed: int, metric: str = "val_accuracy"
) -> Callable[[optuna.Trial], float]:
    """Return ``objective`` as a function of an Optuna trial, which keeps metrics and attributes.

    An error of the objective passes through: see ``catch=`` of ``study.optimize``.

    Args:
        objective: an ``Objective``, or a function ``objective(params, *, seed, report)``.
        space: where the trial's values come from.
        seed: of the study; each trial has its own, drawn from it and the trial's number.
        metric: the value of a trial, by its name among the objective's metrics.
    """
    runs = as_objective(objective, metric)

    def run(trial: optuna.Trial) -> float:
        params = space.to_optuna(trial)
        task = Task(number=trial.number, params=params, seed=trial_seed(seed, trial.number))
        trial.set_user_attr("seed", task.seed)

        def report(step: int, metrics: Mapping[str, float]) -> None:
            if metric not in metrics:
                raise TrainingError(
                    "MissingMetric", f"the objective reported {dict(metrics)}, but not {metric}"
                )
            trial.report(metrics[metric], step)
            if trial.should_prune():
                raise StopTraining

        try:
            outcome = runs(task, report)
        except StopTraining:
            raise optuna.TrialPruned from None
        trial.set_user_attr("metrics", dict(outcome.metrics))
        for name, value in outcome.attributes.items():
            trial.set_user_attr(name, value)
        if outcome.stopped:
            raise optuna.TrialPruned
        return float(outcome.metrics[metric])

    return run


def trial_seed(seed: int, number: int) -> int:
    """Return the seed that the trial has in a study of this project, too."""
    digest = hashlib.sha256(f"trial:{seed}:{number}".encode()).digest()[:16]
    return int.from_bytes(digest, "big") % (1 << 62)
