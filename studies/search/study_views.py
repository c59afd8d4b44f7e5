"""What a sampler is shown of a study: trials as it can learn from them.

Optuna's samplers leave FAIL trials out, so they would propose again and again what cannot be
trained: with TPE 40 of 60 trials ran out of memory, with random search 26. Trials that failed by
their own doing (``studies/search/failures.py``) are shown as poor ones. And TPE cannot rank pruned
trials where there are several objectives: it would ask for the study's one direction. In the
storage nothing changes.
"""

import operator
from collections.abc import Callable, Container, Sequence
from copy import copy
from copy import deepcopy as copy_deeply
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.search.failures import failed_by_itself
from studies.storage.optuna_internals import storage_of, study_id, study_on

Show = Callable[[list[FrozenTrial], Sequence[StudyDirection]], list[FrozenTrial]]
"""Returns trials as a sampler is to see them, for a study with these directions."""

_FAILED_PER_TRAINED = 9
"""TPE takes the best tenth for good: with more failed trials than that, some of them."""


def for_tpe(trials: Sequence[FrozenTrial], *, several: bool) -> list[FrozenTrial]:
    """Return ``trials`` as TPE can take them: failed ones as pruned ones without a curve.

    Where nearly all fail, the latest nine for each trained one are shown as failed ones.

    Args:
        trials: of a study.
        several: whether it has several objectives; then all pruned trials are equally poor.
    """
    trained = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    failed = [place for place, trial in enumerate(trials) if failed_by_itself(trial)]
    poor = set(failed[max(0, len(failed) - _FAILED_PER_TRAINED * trained) :])

    def seen(place: int, trial: FrozenTrial) -> FrozenTrial:
        if place not in poor and not (several and trial.state is TrialState.PRUNED):
            return trial
        shown = copy(trial)
        shown.state, shown.intermediate_values = TrialState.PRUNED, {}
        return shown

    return [seen(place, trial) for place, trial in enumerate(trials)]


def as_no_better(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection], *, pruned: bool = True
) -> list[FrozenTrial]:
    """Return ``trials``, pruned and failed ones as complete and no better than the worst.

    The worst is that of the complete ones, in each objective by itself. What a pruned trial
    reported last is no final value: it may be far below all of them.

    Args:
        trials: of a study.
        directions: of the study.
        pruned: False: leave pruned trials as they are, for a sampler that takes their values.
    """
    complete = [
        t.values
        for t in trials
        if t.values
        and (t.state is TrialState.COMPLETE or (t.state is TrialState.PRUNED and not pruned))
    ]
    if not complete:
        return trials
    worst = [
        (min if direction is StudyDirection.MAXIMIZE else max)(of_one)
        for direction, of_one in zip(directions, zip(*complete, strict=True), strict=True)
    ]

    def seen(trial: FrozenTrial) -> FrozenTrial:
        if not (pruned and trial.state is TrialState.PRUNED) and not failed_by_itself(trial):
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
    return study_on(_ShownStorage(study, trials, prefix), study.study_name)


class ShownSampler(BaseSampler):
    """Has a sampler propose from trials as ``show`` returns them.

    Args:
        sampler: Optuna's.
        show: returns what it is to see; by default what TPE can take.
        imported: trials from elsewhere that it is to see as well.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        show: Show | None = None,
        *,
        imported: Sequence[FrozenTrial] = (),
    ) -> None:
        self.sampler = sampler
        self.imported = list(imported)
        self._show = show or tpe_view

    def reseed_rng(self) -> None:
        """Ask the sampler."""
        self.sampler.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the sampler."""
        return self.sampler.infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler."""
        return self.sampler.sample_relative(self._view(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Ask the sampler."""
        return self.sampler.sample_independent(
            self._view(study), trial, param_name, param_distribution
        )

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Tell the sampler."""
        self.sampler.after_trial(study, trial, state, values)

    def _view(self, study: Study) -> Study:
        trials = study.get_trials(deepcopy=False)
        shown = self._show([*self.imported, *trials], study.directions)
        same = len(shown) == len(trials) and all(map(operator.is_, shown, trials))
        return study if same else view(study, shown)


def tpe_view(trials: list[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return ``trials`` as TPE can take them, see ``for_tpe``."""
    return for_tpe(trials, several=len(directions) > 1)


def failed_as_no_better(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """Return ``trials``, failed ones as complete and no better than the worst with a value."""
    return as_no_better(trials, directions, pruned=False)


class _ShownStorage:
    """As much of a storage as Optuna's samplers use of a study, with some trials alone."""

    def __init__(self, study: Study, trials: list[FrozenTrial], prefix: str) -> None:
        self._study = study
        self._trials = trials
        self._prefix = prefix

    def get_study_id_from_name(self, study_name: str) -> int:
        return study_id(self._study)

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
        attributes = storage_of(self._study).get_study_system_attrs(study_id)
        return {
            name.removeprefix(self._prefix): value
            for name, value in attributes.items()
            if name.startswith(self._prefix)
        }

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        storage_of(self._study).set_study_system_attr(study_id, self._prefix + key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        storage_of(self._study).set_trial_system_attr(trial_id, key, value)
