"""Studies in an SQLite file.

It is opened with a write-ahead log (readers such as the dashboard never block the one writer) and
``synchronous=NORMAL`` (no disk flush at each of a trial's writes; after a power cut the last of
them may be missing, the file stays sound).
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from studies.storages.storage_sql import SqlStorage, is_damage
from studies.storages.storage_url import Damaged, NoStudies, StorageError, sqlite_url

BUSY_TIMEOUT = 60.0
"""Seconds that a write waits for another process's write before it fails."""

_NO_PATIENCE = 500
"""Milliseconds that it waits after one has failed: a study that is closed shall not wait again."""

_MAGIC = b"SQLite format 3\0"


class SqliteStorage(SqlStorage):
    """Optuna's storage in one SQLite file.

    Args:
        url: an SQLite URL.
        path: its file.
    """

    def __init__(self, url: str, path: Path) -> None:
        self._path = path
        super().__init__(url, {"connect_args": {"timeout": BUSY_TIMEOUT}})
        sqlalchemy.event.listen(self.engine, "connect", _set_pragmas)
        # Connections of before the listener lack the pragmas.
        self.remove_session()
        self.engine.dispose()
        sqlalchemy.event.listen(self.engine, "handle_error", _wait_no_more)
        self._file = _identity(path)
        sqlalchemy.event.listen(self.engine, "begin", self._check_there)

    def _check_there(self, _connection: Any) -> None:
        """Refuse to go on with a file that has lost its name: what is written there is lost.

        The system would let this process write on, and nobody would ever find it.

        Raises:
            StorageError: it was moved or deleted, or another file was put in its place.
        """
        if _identity(self._path) != self._file:
            raise StorageError(
                f"{self._path} was moved, deleted or replaced while it was in use; nothing more is"
                " written: put it back in its place, and run the same command again"
            )

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        try:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        except OperationalError as error:
            # Optuna would try five times, and wait for the lock each time.
            raise StorageError(
                f"{self._path}: {error.orig}; nothing more can be written there: make room, or end"
                " the program that locks it, and run the same command again"
            ) from error


def check_file(path: Path, *, create: bool) -> None:
    """Refuse a file that is no database of ours before Optuna adds its tables to it.

    Raises:
        StorageError: it is none, is missing and not to be made, or is damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        if create:
            return
        raise NoStudies(f"there is no study database at {path}; run a study first") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: {reason}") from None
    if start and start != _MAGIC:
        raise Damaged(f"{path} is no SQLite database; move it away or choose another storage")
    tables = _tables(path)
    if tables and "version_info" not in tables:
        raise StorageError(
            f"{path} is another program's database (tables: {', '.join(sorted(tables)[:3])} …); "
            "choose another storage"
        )
    if not tables and not create:
        raise NoStudies(f"{path} holds no study; run a study first")


def make_file(path: Path) -> None:
    """Make a database with Optuna's tables at ``path``, where there is no file.

    It appears there whole: another program that opened it half made (a dashboard waiting for it)
    would make the same tables, and one of the two would end with an error.

    Raises:
        SQLAlchemyError: the folder cannot be written, or the disk is full.
        StorageError: the draft cannot be given its name.
    """
    draft = path.with_name(f".{path.name}.making")  # ours alone: the caller has locked the folder
    with contextlib.suppress(OSError):
        draft.unlink()  # of a process killed here
    made = SqliteStorage(sqlite_url(draft), draft)
    with made.engine.connect():
        pass  # the pragmas: its log stays on
    made.remove_session()
    made.engine.dispose()
    try:
        draft.rename(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def _tables(path: Path) -> set[str]:
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Damaged(
                f"{path} is damaged ({' '.join(verdict.split())}); put a sound copy in its place,"
                " or begin anew (--fresh moves it aside)"
            )
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}
    except (sqlite3.Error, UnicodeDecodeError) as error:
        garbled = isinstance(error, UnicodeDecodeError) or is_damage(error)
        kind = Damaged if garbled else StorageError
        raise kind(f"{path}: {' '.join(str(error).split())}") from None
    finally:
        if connection is not None:
            connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _wait_no_more(context: Any) -> None:
    if "locked" in str(context.original_exception) and context.connection is not None:
        connection = context.connection.connection.dbapi_connection
        connection.execute(f"PRAGMA busy_timeout = {_NO_PATIENCE}")
