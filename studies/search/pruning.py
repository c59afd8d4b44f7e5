"""Pruners by name, and how they are kept fair between the choices that a study compares.

An optimizer whose curve starts slowly must not be stopped because another one starts fast: then
the study would compare starts, not results. So a pruner here is shown only the trials that have
the same value of the scientific parameter as the trial it judges, as Optuna's Hyperband shows each
bracket only its own trials. Whichever pruner it is, it decides by curves alone: the percentiles
compare values of one step, and so do the rungs (``studies/search/rungs.py``).

Which trials are beyond pruning (the default configuration of each choice) is the book's matter.
Sentinels are judged here like all others, and go on: see ``studies/search/sentinels.py``.
"""

import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

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
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import ConfigError, unknown_name
from studies.core.attributes import SENTINEL, WOULD_PRUNE
from studies.search.optuna_bridge import check_options, refusals
from studies.search.rungs import WITH_RUNGS, create_rungs

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


Pruning = tuple[str, Mapping[str, Any], str | None]
"""Name of the pruner, its options, the parameter whose choices are kept apart."""

WriteAttribute = Callable[[int, str, Any], None]
"""``write(number, key, value)``: stores a pruner's own mark (a rung) with trial ``number``."""


class FairPruning:
    """Decides whether a trial is stopped, from the trials of the same choice alone.

    It works on trials in memory: a decision costs no database read, and the worker that waits for
    it is answered before anything is written.

    Args:
        name: of a pruner, see ``studies/search/pruning.py``.
        options: of it, with its resources, see ``rungs.with_resources``.
        scientific: the parameter whose choices are kept apart; None: all trials are compared.
        direction: of the study.
        write: stores the rungs that successive halving and hyperband mark trials with, and the
            step at which a sentinel would have been pruned.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        *,
        scientific: str | None,
        direction: StudyDirection,
        write: WriteAttribute,
    ) -> None:
        self._name = name
        self._pruner = create_pruner(name, options)
        self._rungs = create_rungs(name, options) if name in WITH_RUNGS else None
        self._scientific = scientific
        self._direction = direction
        self._write = write

    def should_prune(self, trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
        """Return whether ``trial``, whose last report is its last intermediate value, is stopped.

        Args:
            trial: the running trial, one of ``trials``.
            trials: all trials of the study by number.
        """
        if self._name == "none" or WOULD_PRUNE in trial.system_attrs:
            return False
        choice = self._choice(trial)
        # Written out, as there may be thousands of them at every report.
        name = self._scientific
        same = [
            _as_pruned(other) if WOULD_PRUNE in other.system_attrs else other
            for other in trials
            if name is None or other.params.get(name) == choice
        ]
        marks: dict[str, Any] = {}
        if self._rungs is None:
            view = optuna.Study("view", cast(BaseStorage, _View(self._direction, same)))
            stops = self._pruner.prune(view, trial)
        else:
            stops, rungs = self._rungs.should_prune(trial, same, self._direction)
            marks |= rungs
        if stops and trial.user_attrs.get(SENTINEL):
            marks[WOULD_PRUNE] = trial.last_step
            stops = False
        for key, value in marks.items():
            trial.system_attrs = {**trial.system_attrs, key: value}
            self._write(trial.number, key, value)
        return stops

    def _choice(self, trial: FrozenTrial) -> Any:
        return None if self._scientific is None else trial.params.get(self._scientific)


class _View:
    """As much of a storage as Optuna's pruners use of a study, over some trials in memory."""

    def __init__(self, direction: StudyDirection, trials: list[FrozenTrial]) -> None:
        self._direction = direction
        self._trials = trials

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [self._direction]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return _copies(trials) if deepcopy else trials

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        complete = self.get_all_trials(study_id, False, (TrialState.COMPLETE,))
        if not complete:
            raise ValueError("No trials are completed yet.")
        pick = max if self._direction is StudyDirection.MAXIMIZE else min
        return pick(complete, key=lambda trial: trial.values[0])


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Return a sentinel as the others see it: pruned, once it would have been."""
    step = trial.system_attrs[WOULD_PRUNE]
    seen = copy(trial)
    kept = {s: value for s, value in trial.intermediate_values.items() if s <= step}
    seen.intermediate_values = kept
    if trial.state is TrialState.COMPLETE:
        seen.state, seen.values = TrialState.PRUNED, [kept[step]]
    return seen


def _copies(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return deepcopy(trials)
