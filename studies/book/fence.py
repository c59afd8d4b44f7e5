"""What keeps a supervisor from writing to trials that another one took away from it."""

from collections.abc import Mapping
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError

from studies.storages.storage import Storage


class Fence:
    """A storage that writes nothing to trials that were taken away; all else is ``storage``'s.

    Attributes:
        gone: their identities.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.gone: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        """Write a report, if the trial was not taken away."""
        self._write("set_trial_intermediate_value", trial_id, step, value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write a user attribute, if the trial was not taken away."""
        self._write("set_trial_user_attr", trial_id, key, value)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Write user attributes, if the trial was not taken away."""
        self._write("set_trial_user_attrs", trial_id, attributes)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write a system attribute, if the trial was not taken away."""
        self._write("set_trial_system_attr", trial_id, key, value)

    def _write(self, how: str, trial_id: int, *arguments: Any) -> None:
        if trial_id in self.gone:
            return
        try:
            getattr(self._storage, how)(trial_id, *arguments)
        except UpdateFinishedTrialError:  # taken away, run and ended since the last look
            self.gone.add(trial_id)
