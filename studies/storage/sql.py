"""Studies in an SQL database: Optuna's storage, with trials read and written by plain queries."""

import copy
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from studies.storage.base import Content, Storage, StudyWrite, Tally
from studies.storage.contents import append, check_same, read_content
from studies.storage.errors import CopyError, StorageError, reason
from studies.storage.optuna_internals import (
    NOT_FOUND,
    OpenRDBStorage,
    identify,
    tables,
    tables_known,
)
from studies.storage.sql_reading import PAGE, TrialReader
from studies.storage.sql_writing import (
    end_trial,
    insert_study,
    insert_trial,
    inserted_study,
    rename_study,
    reopen_trial,
    replace_attributes,
    replace_steps,
    study_names,
)
from studies.storage.url import shown


class SqlStorage(OpenRDBStorage, Storage):
    """Optuna's storage in an SQL database.

    If Optuna's tables are not as expected, Optuna's own methods do everything, and trials are held
    with all attributes.
    """

    held = None

    def __init__(self, url: str, engine_kwargs: dict[str, Any], **options: Any) -> None:
        self.reader = TrialReader()
        # Optuna formats the URL.
        escaped = url.replace("{", "{{").replace("}", "}}")
        super().__init__(escaped, engine_kwargs=engine_kwargs, **options)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial; raise KeyError if there is none."""
        if not tables_known():
            return super().get_trial(trial_id)
        with self.engine.connect() as connection:
            found = self.reader.page(connection, tables().trials.c.trial_id == trial_id)
        if not found:
            raise KeyError(NOT_FOUND)
        return found[trial_id]

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """Return the number of one trial; raise KeyError if there is none."""
        if not tables_known():
            return int(super().get_trial_number_from_id(trial_id))
        trials = tables().trials
        with self.engine.connect() as connection:
            query = sqlalchemy.select(trials.c.number).where(trials.c.trial_id == trial_id)
            number = connection.scalar(query)
        if number is None:
            raise KeyError(NOT_FOUND)
        return int(number)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a trial's state, and its values if any; see Optuna."""
        if not tables_known() or not state.is_finished():
            return bool(super().set_trial_state_values(trial_id, state, values))
        with self._changing(trial_id) as connection:
            end_trial(connection, trial_id, state, values)
        return True

    def check_trial_is_updatable(self, trial_id: int, trial_state: TrialState) -> None:
        """Raise ``UpdateFinishedTrialError`` if a trial is finished."""
        # Optuna reads the trial to name it, on a second connection. PostgreSQL's pool here has one
        # only, and would wait half a minute for another.
        if trial_state.is_finished():
            raise UpdateFinishedTrialError(
                f"the trial with id {trial_id} is {trial_state.name} and cannot be changed"
            )

    def hold_only(self, names: Collection[str]) -> None:
        """From now on leave user attributes with other names in the database."""
        if tables_known():
            self.held = frozenset(names)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial in one transaction."""
        if not tables_known():
            for name, value in attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
        elif attributes:
            with self._changing(trial_id) as connection:
                replace_attributes(connection, trial_id, attributes)

    def set_trial_intermediate_values(self, trial_id: int, values: Mapping[int, float]) -> None:
        """Set values of a running trial by step, in one transaction."""
        if not tables_known():
            super().set_trial_intermediate_values(trial_id, values)
            return
        with self._changing(trial_id) as connection:
            replace_steps(connection, trial_id, values)

    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a running trial wait again, and set user attributes of it, in one transaction."""
        if not tables_known():
            # In this order: after a kill in between the next supervisor puts the trial back.
            self.set_trial_user_attrs(trial_id, attributes)
            self.set_trial_state_values(trial_id, TrialState.WAITING)
            return
        trials = tables().trials
        with self._changing(trial_id) as connection:
            replace_attributes(connection, trial_id, attributes)
            one = sqlalchemy.update(trials).where(trials.c.trial_id == trial_id)
            connection.execute(one.values(state=TrialState.WAITING))

    @contextmanager
    def _changing(self, trial_id: int) -> Iterator[Connection]:
        """Yield a connection for one transaction on an unfinished trial."""
        trials = tables().trials
        which = sqlalchemy.select(trials.c.state).where(trials.c.trial_id == trial_id)
        with self.engine.begin() as connection:
            state = connection.scalar(which.with_for_update())
            if state is None:
                raise KeyError(NOT_FOUND)
            self.check_trial_is_updatable(trial_id, state)
            yield connection

    def ended(self, trial_id: int, trial: FrozenTrial) -> FrozenTrial:
        """Return ``trial``, which has just ended, sharing what other trials have too."""
        if tables_known():
            self.reader.share(trial)
        return trial

    def whole_trials(
        self, study_id: int, names: Collection[str] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials of a study by number, with all user attributes, or those ``names``."""
        if not tables_known():
            return self.get_all_trials(study_id, deepcopy=False)
        with self.engine.connect() as connection:
            trials = self.reader.of_study(connection, study_id, names)
        return sorted(trials, key=lambda trial: trial.number)

    def add_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Add a trial as ``template_trial`` has it, by default a running one."""
        if template_trial is None:
            trial = create_trial(state=TrialState.RUNNING)
            trial.datetime_start = datetime.now()
        else:
            trial = copy.deepcopy(template_trial)
        with self.engine.begin() as connection:
            self._check_study(connection, study_id, lock=True)
            identity, trial.number = insert_trial(connection, study_id, trial)
        identify(trial, identity)
        return trial

    def read_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return the included trials up to an identity and all greater ones, by identity."""
        identity = tables().trials.c.trial_id
        known = sorted(i for i in included_trial_ids if i <= trial_id_greater_than)
        trials: list[FrozenTrial] = []
        with self.engine.connect() as connection:
            # Apart: an OR of both would read the whole study each time.
            for first in range(0, len(known), PAGE):
                some = identity.in_(known[first : first + PAGE])
                trials += self.reader.page(connection, some, self.held).values()
            trials += self.reader.of_study(connection, study_id, self.held, trial_id_greater_than)
            if not trials:
                self._check_study(connection, study_id)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return trials

    def tally(self, study_id: int) -> Tally:
        """Return the number of trials in each state, and when the last one ended or began."""
        if not tables_known():
            return super().tally(study_id)
        trials = tables().trials
        time = sqlalchemy.func.coalesce(trials.c.datetime_complete, trials.c.datetime_start)
        query = (
            sqlalchemy.select(trials.c.state, sqlalchemy.func.count(), sqlalchemy.func.max(time))
            .where(trials.c.study_id == study_id)
            .group_by(trials.c.state)
        )
        with self.engine.connect() as connection:
            rows = list(connection.execute(query))
        found = max((row[2] for row in rows if row[2] is not None), default=None)
        return Tally(
            states={row[0]: row[1] for row in rows},
            last=None if found is None else found.replace(tzinfo=UTC).astimezone(),
        )

    def write(self, new: StudyWrite) -> None:
        """Write studies in one transaction, which is rolled back if the check raises."""
        if not tables_known():
            self._write_with_optuna(new)
            return
        try:
            with self.engine.begin() as connection:
                for old, name in new.renamed.items():
                    rename_study(connection, old, name)
                new.refuse(study_names(connection))
                made = {insert_study(connection, one): one.name for one in new.contents}
                new.check(
                    [
                        inserted_study(
                            connection, i, name, self.reader.of_study(connection, i, None)
                        )
                        for i, name in made.items()
                    ]
                )
        except IntegrityError as error:  # another program was faster
            new.refuse({content.name for content in new.contents})
            raise CopyError(f"{shown(self.url)}: {reason(error)}; nothing was written") from None

    def _write_with_optuna(self, new: StudyWrite) -> None:
        """Write studies by Optuna's public calls, a trial at a time.

        A study is renamed as a whole copy before the old one is deleted. If an error comes, all is
        reset; if this process is killed, what was written stays.
        """
        new.refuse({study.study_name for study in self.get_all_studies()} - new.renamed.keys())
        made: list[int] = []
        deleted: list[Content] = []

        def written(content: Content) -> Content:
            made.append(append(self, content))
            return read_content(self, content.name)

        try:
            olds = [read_content(self, old) for old in new.renamed]
            moved = [replace(old, name=new.renamed[old.name]) for old in olds]
            check_same(moved, [written(one) for one in moved], shown(self.url))
            for old in olds:
                self.delete_study(self.get_study_id_from_name(old.name))
                deleted.append(old)
            new.check([written(content) for content in new.contents])
        except BaseException:
            for identity in made:
                self.delete_study(identity)
            for old in deleted:
                append(self, old)
            raise

    def reopen(self, name: str, failed: Mapping[int, Mapping[str, Any]]) -> None:
        """Have failed trials of a study wait again, in one transaction."""
        if not tables_known():
            raise StorageError(
                f"{shown(self.url)}: --retry-failed changes Optuna's tables, which are other ones"
                " in this version of Optuna; install the version that pyproject.toml names"
            )
        identity = self.get_study_id_from_name(name)
        with self.engine.begin() as connection:
            for number, attributes in failed.items():
                reopen_trial(connection, identity, number, attributes)

    def close(self) -> None:
        """Close all connections; SQLite's last one folds its log into the file."""
        self.remove_session()
        self.engine.dispose()

    def _check_study(self, connection: Connection, study_id: int, *, lock: bool = False) -> None:
        """Check that there is such a study, and lock it if asked."""
        studies = tables().studies
        which = sqlalchemy.select(studies.c.study_id).where(studies.c.study_id == study_id)
        if connection.execute(which.with_for_update() if lock else which).first() is None:
            raise KeyError(NOT_FOUND)
