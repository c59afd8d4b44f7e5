"""Samplers by name, with their options."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from mnist_core.errors import ConfigError, unknown_name


def create_sampler(
    name: str, options: Mapping[str, Any], *, seed: int, workers: int = 1, choices: int = 1
) -> BaseSampler:
    """Return the sampler ``name``.

    Args:
        name: ``random`` or ``tpe``.
        options: arguments of Optuna's class that replace the defaults.
        seed: of its random numbers, 0 <= seed < 2**32.
        workers: trials that run at the same time; with more than one TPE counts those still
            running as poor ones (``constant_liar``), so that it does not propose them twice.
        choices: values of the scientific parameter; TPE samples at random until it has seen two
            trials of each on average, and ten at least.

    Raises:
        ConfigError: unknown name, unknown option, or a value that Optuna refuses.
    """
    if name not in _SAMPLERS:
        raise ConfigError(f"search.sampler: {unknown_name('sampler', name, _SAMPLERS)}")
    cls, defaults = _SAMPLERS[name]
    arguments = {**defaults(workers, choices), **options}
    check_options(cls, options, source=f"search.sampler_options ({name})", taken={"seed"})
    with warnings.catch_warnings():
        # `group` has been "experimental" since Optuna 2.8; what goes in Optuna 6 is not here yet.
        for category in (ExperimentalWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        with refusals(f"search.sampler_options ({name})"):
            return cls(seed=seed, **arguments)


def check_options(
    cls: Callable[..., object],
    options: Mapping[str, Any],
    *,
    source: str,
    taken: set[str] | None = None,
) -> None:
    """Refuse options that the constructor of ``cls`` does not know or that are of another type.

    Raises:
        ConfigError: an unknown option, with the nearest one (``taken`` are arguments that the study
            sets itself, and functions cannot be set); a value of another type.
    """
    kinds = {
        name: _kinds(parameter.annotation)
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in (taken or set())
    }
    valid = [name for name, of_name in kinds.items() if of_name]
    for option, value in options.items():
        if option not in valid:
            raise ConfigError(f"{source}: {unknown_name('option', option, valid)}")
        if type(value).__name__ not in kinds[option]:
            wanted = " or ".join(sorted(kinds[option]))
            raise ConfigError(f"{source}: {option} must be {wanted}, but got {value!r}")


def try_sampler(name: str, options: Mapping[str, Any]) -> None:
    """Have the sampler propose something, as Optuna checks some values only then.

    Raises:
        ConfigError: it refuses one.
    """
    study = optuna.create_study(sampler=create_sampler(name, {**options, **_soon(name)}, seed=0))
    with refusals(f"search.sampler_options ({name})"):
        for number in range(3):
            trial = study.ask()
            trial.suggest_float("x", 1e-3, 1, log=True)
            trial.suggest_categorical("y", ["a", "b"])
            study.tell(trial, number)


@contextmanager
def refusals(source: str) -> Iterator[None]:
    """Turn what Optuna raises about an option's value into an error that names ``source``.

    Raises:
        ConfigError: in place of it.
    """
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, AssertionError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{source}: {said}") from None


def _soon(name: str) -> dict[str, Any]:
    """TPE proposes nothing of its own in its first trials."""
    return {"n_startup_trials": 1} if name == "tpe" else {}


def _kinds(annotation: Any) -> set[str]:
    """Return the types of an option by name, those that TOML can hold."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if "Callable" in text:
        return set()
    kinds = {part.strip() for part in text.split("|")} & {"bool", "int", "float", "str"}
    return kinds | {"int"} if "float" in kinds else kinds


def _random(workers: int, choices: int) -> dict[str, Any]:
    return {}


def _tpe(workers: int, choices: int) -> dict[str, Any]:
    return {
        "multivariate": True,
        "group": True,
        "constant_liar": workers > 1,
        "n_startup_trials": max(10, 2 * choices),
    }


_SAMPLERS: Mapping[str, tuple[Callable[..., BaseSampler], Callable[[int, int], dict[str, Any]]]] = {
    "random": (RandomSampler, _random),
    "tpe": (TPESampler, _tpe),
}
