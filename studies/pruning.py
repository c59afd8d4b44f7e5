"""Pruners by name, and how they are kept fair between the choices that a study compares.

An optimizer whose curve starts slowly must not be stopped because another one starts fast: then
the study would compare starts, not results. So a pruner here is shown only the trials that have
the same value of the scientific parameter as the trial it judges, as Optuna's Hyperband shows each
bracket only its own trials. There is one pruner for each choice, so that what Optuna's pruners
work out from the trials they see (the greatest step, the number of brackets) is each choice's own.

Which trials are beyond pruning (the default configuration of each choice) is the book's matter.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from copy import deepcopy
from typing import Any, cast

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import ConfigError, unknown_name
from studies.samplers import check_options, refusals

Pruning = tuple[str, Mapping[str, Any], str | None]
"""Name of the pruner, its options, the parameter whose choices are kept apart."""

WriteAttribute = Callable[[int, str, Any], None]
"""``write(number, key, value)``: stores a pruner's own mark (a rung) with trial ``number``."""


def create_pruner(name: str, options: Mapping[str, Any]) -> BasePruner:
    """Return the Optuna pruner ``name`` with ``options`` in place of the defaults.

    Raises:
        ConfigError: unknown name, unknown option, or a value that Optuna refuses.
    """
    if name not in _PRUNERS:
        raise ConfigError(f"search.pruner: {unknown_name('pruner', name, _PRUNERS)}")
    cls, defaults = _PRUNERS[name]
    source = f"search.pruner_options ({name})"
    check_options(cls, options, source=source)
    with refusals(source):
        return cls(**{**defaults, **options})


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


class FairPruning:
    """Decides whether a trial is stopped, from the trials of the same choice alone.

    It works on trials in memory: a decision costs no database read, and the worker that waits for
    it is answered before anything is written.

    Args:
        name: none, median, percentile, successive_halving or hyperband.
        options: of Optuna's class.
        scientific: the parameter whose choices are kept apart; None: all trials are compared.
        direction: of the study.
        write: stores the rungs that successive halving and hyperband mark trials with.
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
        create_pruner(name, options)
        self._name, self._options = name, dict(options)
        self._scientific = scientific
        self._direction = direction
        self._write = write
        self._pruners: dict[Any, BasePruner] = {}

    def should_prune(self, trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
        """Return whether ``trial``, whose last report is its last intermediate value, is stopped.

        Args:
            trial: the running trial, one of ``trials``.
            trials: all trials of the study by number.
        """
        if self._name == "none":
            return False
        choice = self._choice(trial)
        if choice not in self._pruners:
            self._pruners[choice] = create_pruner(self._name, self._options)
        same = [other for other in trials if self._choice(other) == choice]
        view = cast(BaseStorage, _View(self._direction, same, self._write))
        return self._pruners[choice].prune(optuna.Study("view", view), trial)

    def _choice(self, trial: FrozenTrial) -> Any:
        return None if self._scientific is None else trial.params.get(self._scientific)


class _View:
    """As much of a storage as Optuna's pruners use of a study, over some trials in memory.

    Filtering here rather than in a ``Study`` also reaches the studies that Hyperband makes of the
    study it is given, as these read from the storage again.
    """

    def __init__(
        self, direction: StudyDirection, trials: list[FrozenTrial], write: WriteAttribute
    ) -> None:
        self._direction = direction
        self._trials = trials
        self._write = write

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

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = next(trial for trial in self._trials if trial._trial_id == trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}
        self._write(trial.number, key, value)


def _copies(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return deepcopy(trials)


# Fewer trials than Optuna's 5 to begin with: they are counted for each choice by itself. Reports
# are counted from 1, and the first says little yet.
_WAIT = {"n_startup_trials": 4, "n_warmup_steps": 2}
_PRUNERS: Mapping[str, tuple[Callable[..., BasePruner], Mapping[str, Any]]] = {
    "none": (NopPruner, {}),
    "median": (MedianPruner, _WAIT),
    "percentile": (PercentilePruner, {"percentile": 25.0, **_WAIT}),
    "successive_halving": (SuccessiveHalvingPruner, {}),
    "hyperband": (HyperbandPruner, {}),
}
