"""This project's spaces as Optuna's distributions, and trials that choose their points."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces.space import Choice, Float, Int, Parameter, Space, SpaceError
from studies.storage.optuna_internals import required_params


def to_distribution(parameter: Parameter) -> BaseDistribution:
    """Return Optuna's distribution for ``parameter``, without its condition and setting."""
    if isinstance(parameter, Float):
        return FloatDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step
        )
    if isinstance(parameter, Int):
        return IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1
        )
    return CategoricalDistribution(parameter.choices)


def suggest(space: Space, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Let ``trial`` choose a point of ``space``; only active parameters are suggested."""
    # A trial whose supervisor was killed while it chose keeps the chosen values, and chooses the
    # rest as if it had not been interrupted.
    interrupted = isinstance(trial, optuna.Trial) and _is_part(space, trial.params)

    def choose(name: str, parameter: Parameter) -> Any:
        if interrupted:
            assert isinstance(trial, optuna.Trial)
            _draw_again(trial, name, to_distribution(parameter))
        if isinstance(parameter, Choice):
            return trial.suggest_categorical(name, parameter.choices)
        if isinstance(parameter, Float):
            return trial.suggest_float(
                name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        return trial.suggest_int(
            name, parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1
        )

    return space.walk(choose)


def _is_part(space: Space, params: Mapping[str, Any]) -> bool:
    if not params:
        return False
    try:
        space.check(params)
    except SpaceError:
        return True
    return False


def _draw_again(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Draw parameter ``name`` again if the trial has it already."""
    # What the sampler draws next depends on the random numbers that this takes.
    if name not in trial.distributions or distribution.single():
        return
    stored = trial.study.get_trials(deepcopy=False)[trial.number]
    if name in required_params(stored) or name in trial.relative_params:
        return
    trial.study.sampler.sample_independent(trial.study, stored, name, distribution)
