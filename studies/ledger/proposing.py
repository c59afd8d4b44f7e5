"""Has a sampler propose a new trial in memory, so that it can start in one write."""

import copy
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies.search.study_views import StudyView
from studies.storage.optuna_internals import FIXED_PARAMS, draft_trial, identify

_DRAFT = -1
"""Identity of the draft, which no stored trial has."""


def propose(
    study: optuna.Study,
    number: int,
    *,
    trials: Sequence[FrozenTrial],
    required: Mapping[str, Any],
    attributes: Mapping[str, Any],
    suggest: Callable[[optuna.Trial], dict[str, Any]],
) -> tuple[FrozenTrial, dict[str, Any]]:
    """Have the sampler of ``study`` propose a trial; return it, not stored yet, and its params.

    Args:
        study: the sampler's attributes of the study are written.
        trials: all other trials by number.
        required: params that it must have.
        attributes: its user attributes, JSON values.
        suggest: lets a trial choose its params.
    """
    draft = create_trial(
        state=TrialState.RUNNING,
        user_attrs=_stored(dict(attributes)),
        system_attrs=_stored({FIXED_PARAMS: dict(required)}),
    )
    draft.number = number
    identify(draft, _DRAFT)
    # On a stored trial a sampler takes some forty transactions while a worker waits: it reads the
    # study at each step and writes each parameter by itself.
    shown = _WithDraft(study, trials, draft).as_study(study.sampler)
    params = suggest(draft_trial(shown, draft))
    return draft, params


class _WithDraft(StudyView):
    """A study with one trial more, which is in memory alone."""

    def __init__(
        self, study: optuna.Study, trials: Sequence[FrozenTrial], draft: FrozenTrial
    ) -> None:
        super().__init__([*trials, draft], study=study)
        self._draft = draft

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; of the draft a copy, as a database would."""
        stored = trial_id != _DRAFT
        trial: FrozenTrial = self._storage.get_trial(trial_id) if stored else _copied(self._draft)
        return trial

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return the sampler's attributes of a trial."""
        return self.get_trial(trial_id).system_attrs

    def set_trial_param(
        self, trial_id: int, name: str, internal: float, distribution: BaseDistribution
    ) -> None:
        """Enter a parameter of the draft."""
        self._draft.distributions[name] = distribution
        self._draft.params[name] = distribution.to_external_repr(internal)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep the sampler's attribute of a trial."""
        if trial_id == _DRAFT:
            self._draft.system_attrs[key] = _stored(value)
        else:
            self._storage.set_trial_system_attr(trial_id, key, value)


def _copied(trial: FrozenTrial) -> FrozenTrial:
    found = copy.copy(trial)
    found.params, found.distributions = dict(trial.params), dict(trial.distributions)
    found.user_attrs, found.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    return found


def _stored(value: Any) -> Any:
    """Return ``value`` as it would be read from a storage: a tuple is a list there."""
    return json.loads(json.dumps(value), object_pairs_hook=_interned)


def _interned(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The same few names stand in thousands of trials.
    return {sys.intern(name): value for name, value in pairs}
