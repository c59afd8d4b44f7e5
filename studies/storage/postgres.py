"""Studies in a PostgreSQL database, with locks, and with patience while the server is away.

A supervisor holds an advisory lock on its study in its only connection. The server lifts the lock
when the connection ends, so it lives as long as its holder.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from studies.storage.base import TurnLost
from studies.storage.errors import StorageError, reason
from studies.storage.leases import StudyInUse
from studies.storage.optuna_internals import tables
from studies.storage.postgres_connection import KEY, connection_options, is_lost
from studies.storage.sql import SqlStorage
from studies.storage.url import shown

PATIENCE = 120.0  # seconds to wait for a server that is away

_LOG = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
Call = Callable[Concatenate[Any, P], T]


def _patient(call: Call[P, T]) -> Call[P, T]:
    """Have ``call``, which must be idempotent, wait for a server that is away."""

    @wraps(call)
    def patient(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        done: T = self._patiently(lambda: call(self, *args, **kwargs))
        return done

    return patient


class PostgresStorage(SqlStorage):
    """Optuna's storage in a PostgreSQL database that ``prepare`` has checked.

    Raises:
        StorageError: from any call, if the server stays away for ``PATIENCE`` seconds.
        StudyInUse: from any call, if another process took over a study that this one held.
    """

    def __init__(self, url: str) -> None:
        self._name = f"studies-{uuid.uuid4().hex}"
        self._locked: list[str] = []
        self._turn: str | None = None
        self._gone = ""
        options = {**connection_options(url), "application_name": self._name}
        # Only one connection: every statement goes over the one that has the lock.
        pool = {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}
        super().__init__(
            url,
            {"connect_args": options, **pool},
            skip_table_creation=True,
            skip_compatibility_check=True,  # needs two connections; ``prepare`` did it
        )
        sqlalchemy.event.listen(self.engine, "connect", self._on_connect)

    def lock(self, study_name: str, *, turn: bool = False) -> bool:
        """Lock ``study_name``; return whether it was free; see ``Locks``."""
        if study_name in self._locked:
            return True
        taken = bool(self._scalar(f"SELECT pg_try_advisory_lock({KEY})", study_name))
        if taken and turn:
            self._turn = study_name
        elif taken:
            self._locked.append(study_name)
        return taken

    def unlock(self, study_name: str) -> None:
        """Release the lock, if it is still held."""
        if study_name == self._turn:
            self._turn = None
        elif study_name in self._locked:
            self._locked.remove(study_name)
        else:
            return
        self._scalar(f"SELECT pg_advisory_unlock({KEY})", study_name)

    def is_locked(self, study_name: str) -> bool:
        """Return whether a process holds the lock."""
        return bool(self._scalar(f"SELECT count(*) > 0 {_HOLDERS}", study_name))

    def evict(self, study_name: str) -> None:
        """End the connection that holds the lock; its process then ends with one line."""
        self._scalar(f"SELECT count(pg_terminate_backend(l.pid, 5000)) {_HOLDERS}", study_name)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a trial's state, and its values if any; see Optuna."""
        tried = False

        def write() -> bool:
            nonlocal tried
            # The server may go after it wrote and before it answered. That can be told, as no other
            # process writes to this trial.
            if tried and self.get_trial(trial_id).state is state:
                return True
            tried = True
            return SqlStorage.set_trial_state_values(self, trial_id, state, values)

        try:
            return self._patiently(write)
        except TurnLost:
            # No other process ends a trial that runs here while the server is away for a moment.
            if state.is_finished() and self.get_trial(trial_id).state is state:
                return True
            raise

    def add_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Add a trial as ``template_trial`` has it."""
        query = "SELECT count(*) FROM trials WHERE study_id = :name"
        number, tried = int(self._scalar(query, study_id)), False

        def add() -> FrozenTrial:
            nonlocal tried
            if tried:
                # An earlier try may have written it before the server went.
                table = tables().trials
                which = (table.c.study_id == study_id) & (table.c.number == number)
                with self.engine.connect() as connection:
                    found = self.reader.page(connection, which)
                if found:
                    return next(iter(found.values()))
            tried = True
            return SqlStorage.add_trial(self, study_id, template_trial)

        return self._patiently(add)

    get_trial_number_from_id = _patient(SqlStorage.get_trial_number_from_id)
    # Written twice, the second row breaks a constraint, which Optuna ignores.
    write_param = _patient(SqlStorage.write_param)
    read_trials = _patient(SqlStorage.read_trials)
    best_trial_id = _patient(SqlStorage.best_trial_id)
    create_new_study = _patient(SqlStorage.create_new_study)
    delete_study = _patient(SqlStorage.delete_study)
    set_study_user_attr = _patient(SqlStorage.set_study_user_attr)
    set_study_system_attr = _patient(SqlStorage.set_study_system_attr)
    get_study_id_from_name = _patient(SqlStorage.get_study_id_from_name)
    get_study_name_from_id = _patient(SqlStorage.get_study_name_from_id)
    get_study_directions = _patient(SqlStorage.get_study_directions)
    get_study_user_attrs = _patient(SqlStorage.get_study_user_attrs)
    get_study_system_attrs = _patient(SqlStorage.get_study_system_attrs)
    get_all_studies = _patient(SqlStorage.get_all_studies)
    set_trial_intermediate_value = _patient(SqlStorage.set_trial_intermediate_value)
    set_trial_intermediate_values = _patient(SqlStorage.set_trial_intermediate_values)
    set_trial_user_attr = _patient(SqlStorage.set_trial_user_attr)
    set_trial_user_attrs = _patient(SqlStorage.set_trial_user_attrs)
    put_back = _patient(SqlStorage.put_back)
    set_trial_system_attr = _patient(SqlStorage.set_trial_system_attr)
    get_trial_id_from_study_id_trial_number = _patient(
        SqlStorage.get_trial_id_from_study_id_trial_number
    )
    get_trial = _patient(SqlStorage.get_trial)

    def _scalar(self, query: str, name: object) -> Any:
        def read() -> Any:
            with self.engine.begin() as connection:
                return connection.execute(text(query), {"name": name}).scalar()

        return self._patiently(read)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make ``call``, again and again while the server is away."""
        began, pause = None, 0.1
        while True:
            if self._gone:
                raise StorageError(self._gone)
            try:
                return call()
            except (SQLAlchemyError, StorageInternalError) as error:
                if not is_lost(error):
                    raise
                # Other supervisors may have had a turn since, so the whole turn is done again.
                self._end_turn(error)
                now = time.monotonic()
                if began is None:
                    began = now
                    said = "%s: the server is gone (%s); waiting for it"
                    _LOG.warning(said, shown(self.url), reason(error))
                if now - began > PATIENCE:
                    # The writes at the close of a study must not wait again.
                    self._gone = (
                        f"{shown(self.url)}: the server has been gone for {PATIENCE:.0f} s"
                        f" ({reason(error)}); what it holds of the study is kept: run the same"
                        " command again when it is back"
                    )
                    continue
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _end_turn(self, error: BaseException | None = None) -> None:
        """Raise ``TurnLost`` if this process has the turn."""
        turn, self._turn = self._turn, None
        if turn is not None:
            raise TurnLost(turn) from error

    def _on_connect(self, connection: Any, _record: Any) -> None:
        try:
            self._lock_again(connection)
            self._end_turn()
        except BaseException:
            connection.close()  # SQLAlchemy does not, and a lock may be on it
            raise

    def _lock_again(self, connection: Any) -> None:
        """Take the locks of the lost connection again on a new one."""
        for name in self._locked:
            for _ in range(20):
                if _run(connection, f"SELECT pg_try_advisory_lock({KEY})", name)[0][0]:
                    break
                holders = _run(connection, f"SELECT l.pid, a.application_name {_HOLDERS}", name)
                mine = [pid for pid, holder in holders if holder == self._name]
                if holders and not mine:
                    raise StudyInUse(
                        f"study {name!r} was taken over by another process while the connection to"
                        f" {shown(self.url)} was lost; this one has ended"
                    )
                for pid in mine:  # the server has not noticed yet that the line is dead
                    _run(connection, "SELECT pg_terminate_backend(:name)", pid)
                time.sleep(0.25)
            else:
                raise StorageError(f"{shown(self.url)}: study {name!r} cannot be locked again")


_HOLDERS = f"""
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32) | l.objid::bigint = {KEY}
"""


def _run(connection: Any, query: str, name: object) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query.replace(":name", "%(name)s"), {"name": name})
        rows: list[Any] = cursor.fetchall()
    connection.commit()
    return rows
