"""Pruners by name, with their options.

``patient`` wraps another one: ``wrapped`` names it and ``wrapped_options`` are its options; without
it a trial that does not improve is stopped whatever the others did.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)

from mnist_core.errors import ConfigError, unknown_name
from studies.search.options import check_options, refusals

_WRAPPED, _WRAPPED_OPTIONS = "wrapped", "wrapped_options"


def create_pruner(name: str, options: Mapping[str, Any]) -> BasePruner:
    """Return the Optuna pruner ``name`` with ``options`` in place of the defaults.

    Raises:
        ConfigError: unknown name, unknown option, or a value that Optuna refuses.
    """
    if name not in _KINDS:
        raise ConfigError(f"search.pruner: {unknown_name('pruner', name, _KINDS)}")
    kind, source = _KINDS[name], f"search.pruner_options ({name})"
    inner: dict[str, Any] = {}
    if name == "patient":
        inner = {"wrapped_pruner": _wrapped(options, source)}
        options = {k: v for k, v in options.items() if k not in (_WRAPPED, _WRAPPED_OPTIONS)}
    check_options(kind.cls, options, source=source)
    if kind.needs_one_of and not set(kind.needs_one_of) & options.keys():
        raise ConfigError(f"{source}: it needs {' or '.join(kind.needs_one_of)}; set one")
    with warnings.catch_warnings(), refusals(source):
        warnings.simplefilter("ignore", ExperimentalWarning)
        return kind.cls(**{**kind.defaults, **inner, **options})


def try_pruner(name: str, options: Mapping[str, Any]) -> None:
    """Have the pruner judge something, as Optuna checks some values only then.

    Raises:
        ConfigError: it refuses one.
    """
    study = optuna.create_study(pruner=create_pruner(name, options))
    with refusals(f"search.pruner_options ({name})"):
        for number in range(6):
            trial = study.ask()
            for step in range(1, 5):
                trial.report(number + step, step)
                trial.should_prune()
            study.tell(trial, number)


def _wrapped(options: Mapping[str, Any], source: str) -> BasePruner | None:
    name, own = options.get(_WRAPPED), options.get(_WRAPPED_OPTIONS, {})
    if name is None:
        if own:
            raise ConfigError(f"{source}: {_WRAPPED_OPTIONS} need {_WRAPPED}, the pruner's name")
        return None
    if name not in _WRAPPABLE:
        raise ConfigError(
            f"{source}: {_WRAPPED} must be one of {', '.join(_WRAPPABLE)}, but got {name!r}"
            + (
                "; it must see every report, and patient hides those of a trial that improves"
                if name in ("successive_halving", "hyperband")
                else ""
            )
        )
    if not isinstance(own, Mapping):
        raise ConfigError(f"{source}: {_WRAPPED_OPTIONS} must be a table, but got {own!r}")
    try:
        return create_pruner(name, own)
    except ConfigError as error:
        said = str(error).replace(f"search.pruner_options ({name})", _WRAPPED_OPTIONS)
        raise ConfigError(f"{source}: {said}") from None


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One pruner: Optuna's class, our defaults, and options of which it needs one."""

    cls: Callable[..., BasePruner]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs_one_of: tuple[str, ...] = ()


# Fewer trials than Optuna's 5 to begin with: they are counted for each choice by itself. Reports
# are counted from 1, and the first two say little of a schedule that begins slowly: at the second,
# a median would stop 26 % of each optimizer's best three recorded settings, at the third 7 %.
_WAIT = {"n_startup_trials": 4, "n_warmup_steps": 3}
_KINDS: Mapping[str, _Kind] = {
    "none": _Kind(cls=NopPruner),
    "median": _Kind(cls=MedianPruner, defaults=_WAIT),
    "percentile": _Kind(cls=PercentilePruner, defaults={"percentile": 25.0, **_WAIT}),
    "successive_halving": _Kind(cls=SuccessiveHalvingPruner),
    "hyperband": _Kind(cls=HyperbandPruner),
    "patient": _Kind(cls=PatientPruner, defaults={"patience": 2}),
    "threshold": _Kind(cls=ThresholdPruner, needs_one_of=("lower", "upper")),
    "wilcoxon": _Kind(cls=WilcoxonPruner),
}
_WRAPPABLE = ("median", "percentile", "threshold")
