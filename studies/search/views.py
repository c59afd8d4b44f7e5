"""What a sampler is shown of a study: trials as it can learn from them.

Optuna's samplers leave FAIL trials out, so one that was not trained as it is infeasible would be
proposed again. And TPE cannot rank pruned trials where there are several objectives: it would ask
for the study's one direction. In the storage nothing changes.
"""

from collections.abc import Container, Sequence
from copy import copy
from copy import deepcopy as copy_deeply
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.book.records import FAILURE
from studies.search.goals import INFEASIBLE


def untrained(trial: FrozenTrial) -> bool:
    """Whether ``trial`` was not trained, as it is infeasible."""
    if trial.state is not TrialState.FAIL:
        return False
    return bool((trial.user_attrs.get(FAILURE) or {}).get("kind") == INFEASIBLE)


def for_tpe(trials: Sequence[FrozenTrial], *, several: bool) -> list[FrozenTrial]:
    """Return ``trials`` as TPE can take them: infeasible ones as pruned ones over their limits.

    Args:
        trials: of a study.
        several: whether it has several objectives; then all pruned trials are equally poor.
    """

    def seen(trial: FrozenTrial) -> FrozenTrial:
        without_curve = untrained(trial) or (several and trial.state is TrialState.PRUNED)
        if not without_curve:
            return trial
        shown = copy(trial)
        shown.state, shown.intermediate_values = TrialState.PRUNED, {}
        return shown

    return [seen(trial) for trial in trials]


def as_no_better(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """Return ``trials``, pruned and infeasible ones as complete and no better than the worst.

    The worst is that of the complete ones, in each objective by itself. What a pruned trial
    reported last is no final value: it may be far below all of them.
    """
    complete = [t.values for t in trials if t.state is TrialState.COMPLETE and t.values]
    if not complete:
        return trials
    worst = [
        (min if direction is StudyDirection.MAXIMIZE else max)(of_one)
        for direction, of_one in zip(directions, zip(*complete, strict=True), strict=True)
    ]

    def seen(trial: FrozenTrial) -> FrozenTrial:
        if trial.state is not TrialState.PRUNED and not untrained(trial):
            return trial
        counted = copy(trial)
        counted.state, counted.values = TrialState.COMPLETE, list(worst)
        return counted

    return [seen(trial) for trial in trials]


def view(study: Study, trials: list[FrozenTrial], *, prefix: str = "") -> Study:
    """Return ``study`` with ``trials`` in place of its own.

    Args:
        study: what a sampler is given.
        trials: what it is to see.
        prefix: before the names of what the sampler keeps with the study.
    """
    return Study(study.study_name, cast(BaseStorage, _ShownStorage(study, trials, prefix)))


class ShownSampler(BaseSampler):
    """Has TPE propose from trials as it can take them, see ``for_tpe``."""

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the sampler."""
        return self._sampler.infer_relative_search_space(_for_tpe(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler."""
        return self._sampler.sample_relative(_for_tpe(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Ask the sampler."""
        return self._sampler.sample_independent(
            _for_tpe(study), trial, param_name, param_distribution
        )


def _for_tpe(study: Study) -> Study:
    trials = study._get_trials(deepcopy=False, use_cache=False)
    return view(study, for_tpe(trials, several=len(study.directions) > 1))


class _ShownStorage:
    """As much of a storage as Optuna's samplers use of a study, with some trials alone."""

    def __init__(self, study: Study, trials: list[FrozenTrial], prefix: str) -> None:
        self._study = study
        self._trials = trials
        self._prefix = prefix

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._study._study_id

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._study.directions

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return copy_deeply(trials) if deepcopy else trials

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        attributes = self._study._storage.get_study_system_attrs(study_id)
        return {
            name.removeprefix(self._prefix): value
            for name, value in attributes.items()
            if name.startswith(self._prefix)
        }

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._study._storage.set_study_system_attr(study_id, self._prefix + key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._study._storage.set_trial_system_attr(trial_id, key, value)
