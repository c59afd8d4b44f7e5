"""Samplers by name, with their options."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

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
        # `group` has been "experimental" since Optuna 2.8.
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return cls(seed=seed, **arguments)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"search.sampler_options ({name}): {error}") from None


def check_options(
    cls: Callable[..., object],
    options: Mapping[str, Any],
    *,
    source: str,
    taken: set[str] | None = None,
) -> None:
    """Refuse options that the constructor of ``cls`` does not know, with the nearest one.

    Raises:
        ConfigError: an unknown option; ``taken`` are arguments that the study sets itself.
    """
    valid = set(inspect.signature(cls).parameters) - (taken or set())
    for option in options:
        if option not in valid:
            raise ConfigError(f"{source}: {unknown_name('option', option, valid)}")


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
