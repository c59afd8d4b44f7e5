"""Has a sampler propose a new trial in memory, so that it can start in one write.

A sampler that works on a stored trial takes some forty transactions while a worker waits: it reads
the study at each step and writes each parameter by itself.
"""

import copy
import json
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from studies.storage.optuna_internals import FIXED_PARAMS, draft_trial, storage_of, study_on

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
        number: the trial's.
        trials: all other trials by number.
        required: params that it must have.
        attributes: its user attributes, JSON values.
        suggest: lets a trial choose its params.
    """
    draft = FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs=_stored(dict(attributes)),
        system_attrs=_stored({FIXED_PARAMS: dict(required)}),
        intermediate_values={},
        trial_id=_DRAFT,
    )
    storage = _WithDraft(study, trials, draft)
    params = suggest(draft_trial(study_on(storage, study.study_name, sampler=study.sampler), draft))
    return draft, params


class _WithDraft:
    """A study's storage with one more trial, which is in memory only."""

    def __init__(
        self, study: optuna.Study, trials: Sequence[FrozenTrial], draft: FrozenTrial
    ) -> None:
        self._storage = storage_of(study)
        self._trials = [*trials, draft]
        self._draft = draft

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; the draft is copied, as a database would."""
        if trial_id != _DRAFT:
            return self._storage.get_trial(trial_id)
        return _copied(self._draft)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return the sampler's attributes of a trial."""
        return self.get_trial(trial_id).system_attrs

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return all trials by number."""
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

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
    return {sys.intern(name): value for name, value in pairs}
