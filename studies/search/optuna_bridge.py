"""Between this project's spaces and Optuna's distributions, both ways."""

import importlib
import inspect
import math
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler

from mnist_core.errors import ConfigError, unknown_name
from search_spaces.space import Choice, Float, Int, Parameter, Space, SpaceError, When
from studies.storage.optuna_internals import required_params


def check_options(
    cls: Callable[..., object],
    options: Mapping[str, Any],
    *,
    source: str,
    taken: Container[str] = (),
) -> None:
    """Refuse options that the constructor of ``cls`` does not know or that are of another type.

    Args:
        cls: the class that is made with ``options``.
        options: by name.
        source: names the options in errors.
        taken: arguments that are not the user's: those that the study sets itself, those that do
            nothing any more. Functions and objects cannot be set either.

    Raises:
        ConfigError: an unknown option, with the nearest one; a value of another type, or none that
            an option of that name can have.
    """
    kinds = {
        name: _kinds(parameter.annotation)
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in taken
    }
    valid = [name for name, of_name in kinds.items() if of_name]
    for option, value in options.items():
        if option not in valid:
            if not valid:
                raise ConfigError(f"{source}: it has no options, but got {option!r}; leave it out")
            raise ConfigError(f"{source}: {unknown_name('option', option, valid)}")
        if type(value).__name__ not in kinds[option]:
            wanted = " or ".join(sorted(kinds[option]))
            raise ConfigError(f"{source}: {option} must be {wanted}, but got {value!r}")
        # Optuna takes these, and they do nothing: counts below 0 are 0, and nothing is below nan.
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{source}: {option} must be a finite number, but got {value!r}")
        if option.startswith("n_") and value < 0:
            raise ConfigError(f"{source}: {option} must be 0 or more, but got {value!r}")


@contextmanager
def refusals(source: str) -> Iterator[None]:
    """Turn what Optuna raises about an option's value into an error that names ``source``.

    Raises:
        ConfigError: in place of it.
    """
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, AssertionError, MemoryError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{source}: {said}") from None


def _kinds(annotation: Any) -> set[str]:
    """Return the types of an option by name, those that TOML can hold."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if "Callable" in text or "[" in text:
        return set()
    kinds = {part.strip() for part in text.split("|")} & {"bool", "int", "float", "str"}
    return kinds | {"int"} if "float" in kinds else kinds


PACKAGE = "samplers/auto_sampler"
REF = "257a04bca788dc263bf4cbb469083be82740cf69"
"""The registry's commit that is used: another one may propose other trials."""


def auto_sampler(options: Mapping[str, Any]) -> Callable[..., BaseSampler]:
    """Return the class ``AutoSampler``; ``options["ref"]`` names another commit of the registry.

    The first call needs the network; then it lies in OptunaHub's cache.

    Raises:
        ConfigError: OptunaHub is not installed, or its registry cannot be reached.
    """
    ref = options.get("ref", REF)
    if not isinstance(ref, str) or not ref:
        raise ConfigError(f"search.sampler_options (auto): ref must be str, but got {ref!r}")
    try:
        optunahub = importlib.import_module("optunahub")
    except ImportError as error:
        raise ConfigError(
            f"search.sampler: 'auto' is OptunaHub's, which cannot be imported ({error}); install"
            " it with `pip install 'mnist-studies[hub]'`, or use tpe, which it chooses for spaces"
            " like this"
        ) from None
    try:
        loaded: Callable[..., BaseSampler] = optunahub.load_module(PACKAGE, ref=ref).AutoSampler
    except Exception as error:  # git, the network, GitHub, the module: none has one class of errors
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"search.sampler: 'auto' cannot be fetched from OptunaHub's registry ({said[:160]});"
            " it needs the network once; or use tpe, which it chooses for spaces like this"
        ) from None
    return loaded


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
    stored = trial.study.get_trials(deepcopy=False)[trial.number]
    if name in required_params(stored) or name in trial.relative_params:
        return
    trial.study.sampler.sample_independent(trial.study, stored, name, distribution)
