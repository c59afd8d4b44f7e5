"""Between this project's spaces and Optuna's distributions, both ways."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces.space import Choice, Float, Int, Parameter, Space, SpaceError, When


def to_distribution(parameter: Parameter) -> BaseDistribution:
    """Return Optuna's distribution for ``parameter``; conditions and settings have none."""
    if isinstance(parameter, Float):
        return FloatDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step
        )
    if isinstance(parameter, Int):
        step = 1 if parameter.step is None else parameter.step
        return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=step)
    return CategoricalDistribution(parameter.choices)


def from_distribution(
    distribution: BaseDistribution, *, sets: str = "", when: When | None = None
) -> Parameter:
    """Return the parameter for an Optuna ``distribution``.

    Raises:
        SpaceError: a distribution that is none of Optuna's three, or has one value only.
    """
    if isinstance(distribution, FloatDistribution):
        return Float(
            distribution.low,
            distribution.high,
            log=distribution.log,
            step=distribution.step,
            sets=sets,
            when=when,
        )
    if isinstance(distribution, IntDistribution):
        step = None if distribution.step == 1 else distribution.step
        return Int(
            distribution.low,
            distribution.high,
            log=distribution.log,
            step=step,
            sets=sets,
            when=when,
        )
    if isinstance(distribution, CategoricalDistribution):
        return Choice(distribution.choices, sets=sets, when=when)
    raise SpaceError(f"no parameter corresponds to the distribution {distribution!r}")


def suggest(space: Space, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Let ``trial`` choose a point of ``space``; only active parameters are suggested.

    A trial whose supervisor was killed while it chose keeps what it has, and chooses the rest as
    if it had not been interrupted.
    """
    interrupted = isinstance(trial, optuna.Trial) and _is_part(space, trial.params)

    def choose(name: str, parameter: Parameter) -> Any:
        if interrupted:
            assert isinstance(trial, optuna.Trial)
            _draw_again(trial, name, to_distribution(parameter))
        if isinstance(parameter, Float):
            return trial.suggest_float(
                name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        if isinstance(parameter, Int):
            step = 1 if parameter.step is None else parameter.step
            return trial.suggest_int(
                name, parameter.low, parameter.high, log=parameter.log, step=step
            )
        return trial.suggest_categorical(name, parameter.choices)

    return space.walk(choose)


def _is_part(space: Space, params: Mapping[str, Any]) -> bool:
    """Whether some parameters are chosen and some are not."""
    if not params:
        return False
    try:
        space.check(params)
    except SpaceError:
        return True
    return False


def _draw_again(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Spend the random numbers that parameter ``name``, if the trial has it already, was drawn by.

    What the sampler draws next depends on them.
    """
    if name not in trial.distributions or distribution.single():
        return
    if name in trial._fixed_params or name in trial.relative_params:
        return
    sampler = trial.study.sampler
    sampler.sample_independent(trial.study, trial._get_latest_trial(), name, distribution)
