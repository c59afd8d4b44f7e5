"""What samplers and pruners are shown of a study: trials as they can use them.

In the storage nothing changes.
"""

import functools
import heapq
import operator
from collections.abc import Callable, Container, Sequence
from copy import copy
from copy import deepcopy as copy_deeply
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.search.failures import failed_by_itself, is_feasible
from studies.search.learned_trials import LearnedTrials
from studies.storage.optuna_internals import storage_of, study_id, study_on

Show = Callable[[list[FrozenTrial], Sequence[StudyDirection]], list[FrozenTrial]]
"""Returns trials as a sampler is to see them, for a study with these directions."""

WINDOW, _BEST = 1000, 25
"""With more than ``WINDOW`` ended trials TPE is shown the latest of them, and the ``_BEST`` of all.

It takes at most 25 for good, so those stay the same; the rest only tells it where trials were.
"""

_FAILED_PER_TRAINED = 9
"""TPE takes the best tenth for good. With more failed trials than this, some of them would be."""


class StudyView:
    """A study with given trials: as much of a storage as Optuna's samplers and pruners use.

    Args:
        study: keeps what a sampler writes, and answers what the view does not; None: there is none.
        directions: of the study; None: those of ``study``.
        prefix: before the names of what the sampler keeps with ``study``.
    """

    def __init__(
        self,
        trials: Sequence[FrozenTrial],
        *,
        study: Study | None = None,
        directions: Sequence[StudyDirection] | None = None,
        prefix: str = "",
    ) -> None:
        self.trials = trials
        # The storage of a view may be another view.
        self._storage: Any = storage_of(study) if study is not None else None
        self._id_of_study = study_id(study) if study is not None else 0
        self._name = study.study_name if study is not None else "view"
        self._directions = directions
        self._prefix = prefix

    def as_study(self, sampler: BaseSampler | None = None) -> Study:
        """Return it as samplers and pruners take it."""
        return study_on(self, self._name, sampler=sampler)

    def __getattr__(self, name: str) -> Any:
        # ``copy`` and ``pickle`` ask for private names before there is a storage.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._storage, name)

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the identity of the study."""
        return self._id_of_study

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of the study."""
        if self._directions is not None:
            return list(self._directions)
        directions: list[StudyDirection] = self._storage.get_study_directions(study_id)
        return directions

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the given trials."""
        trials = [trial for trial in self.trials if states is None or trial.state in states]
        return copy_deeply(trials) if deepcopy else trials

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return the best complete trial; ValueError: if no trial is complete."""
        # The wilcoxon pruner compares a trial with it.
        complete = self.get_all_trials(study_id, False, (TrialState.COMPLETE,))
        if not complete:
            raise ValueError("No trials are completed yet.")
        [direction] = self.get_study_directions(study_id)
        pick = max if direction is StudyDirection.MAXIMIZE else min
        return pick(complete, key=lambda trial: trial.values[0])

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what the sampler has kept with the study."""
        return {
            name.removeprefix(self._prefix): value
            for name, value in self._storage.get_study_system_attrs(study_id).items()
            if name.startswith(self._prefix)
        }

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep ``value`` with the study."""
        self._storage.set_study_system_attr(study_id, self._prefix + key, value)


class ViewSampler(BaseSampler):
    """Has ``sampler`` propose from a view of the study."""

    def __init__(self, sampler: BaseSampler) -> None:
        self.sampler = sampler

    def view(self, study: Study, trial: FrozenTrial) -> Study:
        """Return what the sampler is shown to propose ``trial``."""
        raise NotImplementedError

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the sampler."""
        return self.sampler.infer_relative_search_space(self.view(study, trial), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler."""
        return self.sampler.sample_relative(self.view(study, trial), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Ask the sampler."""
        return self.sampler.sample_independent(self.view(study, trial), trial, name, distribution)


def windowed(trials: list[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the latest ``WINDOW`` ended trials, the best of all, and all that have not ended.

    With several objectives, or too few good trials, all are returned.
    """
    ended = [place for place, trial in enumerate(trials) if trial.state.is_finished()]
    if len(ended) <= WINDOW or len(directions) > 1:
        return trials
    good = [
        (trial.values[0], place)
        for place, trial in enumerate(trials)
        if trial.state is TrialState.COMPLETE and is_feasible(trial)
    ]
    if len(good) < _BEST:
        return trials
    best = heapq.nlargest if directions[0] is StudyDirection.MAXIMIZE else heapq.nsmallest
    # Of equal values TPE takes the earlier ones.
    key = (lambda one: (one[0], -one[1])) if best is heapq.nlargest else None
    left_out = set(ended[:-WINDOW]) - {place for _, place in best(_BEST, good, key=key)}
    return [trial for place, trial in enumerate(trials) if place not in left_out]


def tpe_view(trials: list[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return ``trials`` as TPE can take them; of many only some: from 10,000 it took 0.6 s."""
    return failed_as_pruned(windowed(trials, directions), directions)


def failed_as_pruned(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """Return ``trials``, failed ones as pruned ones without a curve."""
    # Optuna's samplers leave FAIL trials out, so they propose again what cannot be trained: with
    # TPE 40 of 60 trials ran out of memory, with random search 26.
    trained = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    failed = [place for place, trial in enumerate(trials) if failed_by_itself(trial)]
    poor = set(failed[max(0, len(failed) - _FAILED_PER_TRAINED * trained) :])

    def seen(place: int, trial: FrozenTrial) -> FrozenTrial:
        # With several objectives TPE would ask for the study's one direction to rank pruned trials.
        if place not in poor and not (len(directions) > 1 and trial.state is TrialState.PRUNED):
            return trial
        shown = copy(trial)
        shown.state, shown.intermediate_values = TrialState.PRUNED, {}
        return shown

    return [seen(place, trial) for place, trial in enumerate(trials)]


def as_no_better(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection], *, pruned: bool = True
) -> list[FrozenTrial]:
    """Return ``trials``, pruned and failed ones as complete with the worst values.

    Without ``pruned``, pruned trials stay as they are, for a sampler that takes their values.
    """
    complete = [
        t.values
        for t in trials
        if t.values
        and (t.state is TrialState.COMPLETE or (t.state is TrialState.PRUNED and not pruned))
    ]
    if not complete:
        return trials
    # The last report of a pruned trial is not a final value: it may be far below all of them.
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


failed_as_no_better: Show = functools.partial(as_no_better, pruned=False)


class TpeViewSampler(ViewSampler):
    """Has TPE, or a sampler with a ``show`` of its own, propose from trials that it can take.

    Args:
        imported: trials from elsewhere that it is shown as well.
        learned: trials of earlier studies that it is shown as well; None: there are none.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        show: Show = tpe_view,
        *,
        imported: Sequence[FrozenTrial] = (),
        learned: LearnedTrials | None = None,
    ) -> None:
        super().__init__(sampler)
        self._learned = learned
        self._imported = list(imported)
        self._show = show

    def reseed_rng(self) -> None:
        """Ask the sampler."""
        self.sampler.reseed_rng()

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler."""
        self.sampler.after_trial(study, trial, state, values)

    def view(self, study: Study, trial: FrozenTrial) -> Study:
        """Return ``study`` with its trials as ``show`` returns them."""
        trials = study.get_trials(deepcopy=False)
        learned = self._learned.shown(trials, study.directions) if self._learned else []
        shown = self._show([*self._imported, *learned, *trials], study.directions)
        same = len(shown) == len(trials) and all(map(operator.is_, shown, trials))
        return study if same else StudyView(shown, study=study).as_study()
