"""Studies in an Optuna journal file: one line of JSON for each change, appended."""

import copy
import os
from collections.abc import Collection, Container, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from mnist_core.files import discard
from studies.core.attributes import LEASE
from studies.storage.base import Storage, StudyWrite
from studies.storage.contents import append, check_same, read_content
from studies.storage.errors import StorageError
from studies.storage.journal_file import GARBAGE, JournalFile, damaged, only, with_names
from studies.storage.optuna_internals import FIXED_PARAMS
from studies.storage.sharing import SharedDistributions, forget_begin
from studies.storage.url import journal_url


class Journal(JournalStorage, Storage):
    """Optuna's journal storage on the file ``path``, which is made if there is none.

    Raises:
        StorageError: if the file cannot be read or made, or is damaged.
    """

    def __init__(self, url: str, path: Path, *, held: Collection[str] | None = None) -> None:
        self.url = url
        self.file = JournalFile(path)
        self.file.held = None if held is None else frozenset(held)
        self._distributions = SharedDistributions()
        try:
            super().__init__(self.file)
        except GARBAGE as error:
            raise damaged(path, error) from None

    @property
    def held(self) -> frozenset[str] | None:  # type: ignore[override]
        """See ``Storage``."""
        return self.file.held

    def hold_only(self, names: Collection[str]) -> None:
        """From now on leave user attributes with other names in the file."""
        held = self.file.held = frozenset(names)
        for study in self.get_all_studies():
            for trial in self._kept(self.get_study_id_from_name(study.study_name)):
                trial.user_attrs = only(held, trial.user_attrs)
                forget_begin(trial)

    def whole_trials(
        self, study_id: int, names: Collection[str] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials of a study by number, with all user attributes, or those ``names``."""
        whole = self if self.held is None else Journal(self.url, self.file.path, held=names)
        return whole.get_all_trials(study_id, deepcopy=False)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial in one write."""
        with self.file.one_write():
            for name, value in attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
        super().get_trial(trial_id)  # reads what was written: a finished trial is refused here

    def set_trial_intermediate_values(self, trial_id: int, values: Mapping[int, float]) -> None:
        """Set values of a running trial by step, in one write."""
        with self.file.one_write():
            super().set_trial_intermediate_values(trial_id, values)
        super().get_trial(trial_id)  # reads what was written: a finished trial is refused here

    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a running trial wait again, and set user attributes of it, in one write."""
        with self.file.one_write():
            for name, value in attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
            self.set_trial_state_values(trial_id, TrialState.WAITING)
        super().get_trial(trial_id)

    def ended(self, trial_id: int, trial: FrozenTrial) -> FrozenTrial:
        """Return what is held here of ``trial``, which has just ended."""
        del trial
        self._share()
        return self.get_trial(trial_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial; an unfinished one is copied, which Optuna does not do."""
        trial = super().get_trial(trial_id)
        return trial if trial.state.is_finished() else copy.copy(trial)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return trials by number."""
        trials = self._kept(study_id)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _kept(self, study_id: int) -> list[FrozenTrial]:
        """Return the trials that Optuna keeps of a study, by number."""
        trials = super().get_all_trials(study_id, deepcopy=False)
        self._share()
        return trials

    def _share(self) -> None:
        """Have trials that have ended hold once what is the same in them."""
        ended, self.file.ended = self.file.ended, []
        with self.file.one_write():  # of nothing: the file is not read for each of them
            for identity in ended:
                with suppress(KeyError):  # of a study that was deleted
                    trial = super().get_trial(identity)
                    self._distributions.share(trial)
                    if self.held is not None:
                        forget_begin(trial)

    def write(self, new: StudyWrite) -> None:
        """Write studies at the end of a new file, and put that in the place of this one.

        They take the place of studies of their names, which keep their lease.
        """
        path = self.file.path
        part = path.with_name(f"{path.name}.copying")
        with self.file.locked() as descriptor:
            try:
                with part.open("wb") as file, os.fdopen(os.dup(descriptor), "rb") as old:
                    old.seek(0)
                    lines = old.read()
                    file.write(with_names(lines[: lines.rfind(b"\n") + 1], new.renamed))
                made = Journal(journal_url(part), part)
                made.file.durable = False
                there = {study.study_name for study in made.get_all_studies()}
                new.refuse(there)
                for content in new.contents:
                    lease = made._delete(content.name) if content.name in there else None
                    identity = append(made, content)
                    if lease is not None:
                        made.set_study_user_attr(identity, LEASE, lease)
                again = Journal(journal_url(part), part)
                new.check([read_content(again, content.name) for content in new.contents])
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                part.replace(path)
            except OSError as error:
                said = error.strerror or error
                raise StorageError(f"{part}: {said}; nothing was written") from None
            finally:
                discard(part)

    def reopen(self, name: str, failed: Mapping[int, Mapping[str, Any]]) -> None:
        """Have failed trials wait again: the study is written again in a new file."""
        found = read_content(self, name)
        trials = [
            _waiting(trial, failed[trial.number]) if trial.number in failed else trial
            for trial in found.trials
        ]
        content = replace(found, trials=trials)
        same = partial(check_same, [content], target=str(self.file.path))
        self.write(StudyWrite(contents=[content], check=same))

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _delete(self, name: str) -> Any:
        """Remove study ``name``; return its lease, which no ``Content`` holds."""
        identity = self.get_study_id_from_name(name)
        lease = self.get_study_user_attrs(identity).get(LEASE)
        self.delete_study(identity)
        return lease


def _waiting(trial: FrozenTrial, attributes: Mapping[str, Any]) -> FrozenTrial:
    made = copy.copy(trial)
    made.state, made.datetime_complete, made.values = TrialState.WAITING, None, None
    made.intermediate_values = {}
    made.user_attrs = {**trial.user_attrs, **attributes}
    made.system_attrs = {k: v for k, v in trial.system_attrs.items() if k == FIXED_PARAMS}
    return made
