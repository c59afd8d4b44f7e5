"""What every kind of storage can do beyond Optuna's own storages."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.storage.optuna_internals import backend_of


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything that a storage holds of one of Optuna's studies."""

    name: str  # the study's
    directions: list[StudyDirection]  # one for each objective
    user_attrs: dict[str, Any]  # less the lease, which belongs to a process
    system_attrs: dict[str, Any]  # Optuna's own
    trials: list[FrozenTrial]  # by number


@dataclass(frozen=True, kw_only=True)
class StudyWrite:
    """Studies to write, all of them or none."""

    contents: Sequence[Content]  # what is written
    # stored studies that get other names in the same step: new names by old ones
    renamed: Mapping[str, str] = field(default_factory=dict)
    # gets the names of the stored studies; raises if one of them must not be there
    refuse: Callable[[Collection[str]], None] = lambda names: None
    # gets what was written as it is read back, before others see it; raises if it differs
    check: Callable[[Sequence[Content]], None]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How far a study is, without its trials."""

    states: Mapping[TrialState, int]  # number of trials in each state
    last: datetime | None  # when a trial last ended, or else began; local time


class Storage(BaseStorage):
    """An open storage of studies."""

    url: str  # its storage URL
    # names of the user attributes that trials have when Optuna reads and keeps them; None: all. A
    # trial's confusion matrix and curves take many times the memory of the rest.
    held: frozenset[str] | None

    @abstractmethod
    def hold_only(self, names: Collection[str]) -> None:
        """From now on leave user attributes with other names on the disk; see ``held``."""

    @abstractmethod
    def whole_trials(
        self, study_id: int, names: Collection[str] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials of a study by number, with all user attributes, or those ``names``."""

    @abstractmethod
    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial in one write; Optuna takes one write for each."""

    def set_trial_intermediate_values(self, trial_id: int, values: Mapping[int, float]) -> None:
        """Set values of a running trial by step, in one write where the storage can do so."""
        for step, value in values.items():
            self.set_trial_intermediate_value(trial_id, step, value)

    @abstractmethod
    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a running trial wait again, and set user attributes of it, in one write."""

    @abstractmethod
    def ended(self, trial_id: int, trial: FrozenTrial) -> FrozenTrial:
        """Return ``trial``, which has just ended, sharing what other trials have too."""

    def tally(self, study_id: int) -> Tally:
        """Return the number of trials in each state, and when the last one ended or began."""
        trials = self.get_all_trials(study_id, deepcopy=False)
        times = [one.datetime_complete or one.datetime_start for one in trials]
        found = max(filter(None, times), default=None)
        return Tally(states=Counter(one.state for one in trials), last=found and found.astimezone())

    @abstractmethod
    def write(self, new: StudyWrite) -> None:
        """Write studies, all of them or none."""

    @abstractmethod
    def reopen(self, name: str, failed: Mapping[int, Mapping[str, Any]]) -> None:
        """Have failed trials of study ``name``, which no process runs, wait again: all or none.

        Their params stay; reports, values and the pruner's marks go. ``failed`` holds new user
        attributes of each trial by number. Load the study again afterwards: Optuna does not let a
        finished trial change, and keeps those it has read.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections and files."""


class TurnLost(Exception):
    """The lock of a turn was lost with the connection to the server.

    Other members may have had a turn since: look at the storage and do the work again.
    """


@runtime_checkable
class Locks(Protocol):
    """A storage that knows whether the supervisor of a study lives, wherever it runs."""

    def lock(self, study_name: str, *, turn: bool = False) -> bool:
        """Lock the study while the storage is open; return whether it was free.

        With ``turn`` the lock is not taken again after a lost connection: the call that meets it
        raises ``TurnLost``.
        """

    def unlock(self, study_name: str) -> None:
        """Release the lock."""

    def is_locked(self, study_name: str) -> bool:
        """Return whether a process holds the lock."""

    def evict(self, study_name: str) -> None:
        """Take the lock from its holder."""


def locks_of(study: optuna.Study) -> Locks | None:
    """Return the study's storage if it has locks, else None."""
    storage = backend_of(study)
    return storage if isinstance(storage, Locks) else None
