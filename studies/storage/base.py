"""What every kind of storage can do beyond Optuna's own storages."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything that a storage holds of one of Optuna's studies.

    Attributes:
        name: the study's.
        directions: one for each objective.
        user_attrs: less the lease, which belongs to a process.
        system_attrs: Optuna's own.
        trials: by number.
    """

    name: str
    directions: list[StudyDirection]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: list[FrozenTrial]


Refuse = Callable[[Collection[str]], None]
"""Gets the names of the stored studies, and raises if one of them must not be there."""
Check = Callable[[Sequence[Content]], None]
"""Gets what was written as it is read back, and raises if it is not the same."""


class Storage(BaseStorage):
    """An open storage of studies.

    Attributes:
        url: its storage URL.
        held: names of the user attributes that trials have when Optuna reads and keeps them; None:
            all. A trial's confusion matrix and curves take many times the memory of the rest.
    """

    url: str
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

    @abstractmethod
    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a running trial wait again, and set user attributes of it, in one write."""

    @abstractmethod
    def ended(self, trial_id: int, trial: FrozenTrial) -> FrozenTrial:
        """Return ``trial``, which has just ended, sharing what other trials have too."""

    @abstractmethod
    def write(
        self,
        contents: Sequence[Content],
        renamed: Mapping[str, str],
        refuse: Refuse,
        check: Check,
    ) -> None:
        """Write studies, all of them or none.

        Args:
            contents: what is written.
            renamed: stored studies that get other names in the same step: new names by old ones.
            refuse: called before the write.
            check: called before it becomes visible.
        """

    @abstractmethod
    def reopen(self, name: str, failed: Mapping[int, Mapping[str, Any]]) -> None:
        """Have failed trials of study ``name`` wait again, all of them or none.

        Their params stay; reports, values and the pruner's marks go. Load the study again
        afterwards: Optuna does not let a finished trial change, and keeps those it has read.

        Args:
            name: of a study that no other process runs.
            failed: new user attributes of each trial, by number.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections and files."""
