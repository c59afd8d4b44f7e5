"""Studies in an SQLite file.

It is opened with a write-ahead log (readers such as the dashboard never block the one writer) and
``synchronous=NORMAL`` (no disk flush at each of a trial's writes; after a power cut the last of
them may be missing, the file stays sound).
"""

import contextlib
import functools
import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError

from mnist_core.files import check_regular
from studies.storage.sql import SqlStorage, advised, is_damage
from studies.storage.url import Damaged, NoStudies, StorageError, sqlite_url

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
        read_only: whether the file or its folder cannot be written, so that it is only read.
    """

    def __init__(self, url: str, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._size = 0
        arguments: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT}}
        if read_only:
            arguments = {"creator": functools.partial(_connect, path, read_only=True)}
        super().__init__(url, arguments)
        if not read_only:
            sqlalchemy.event.listen(self.engine, "connect", _set_pragmas)
        # Connections of before the listener lack the pragmas.
        self.remove_session()
        self.engine.dispose()
        sqlalchemy.event.listen(self.engine, "handle_error", _wait_no_more)
        self._file, _ = _identity(path)
        sqlalchemy.event.listen(self.engine, "begin", self._check_there)

    def _check_there(self, _connection: Any) -> None:
        """Refuse to go on with a file that has lost its name or its end.

        The system would let this process write on, and nobody would ever find it. SQLite itself
        makes the file smaller only where it is told to (``VACUUM``).

        Raises:
            StorageError: it was moved, deleted or cut, or another file was put in its place.
        """
        found, size = _identity(self._path)
        if found is not None and size < self._size:
            raise StorageError(
                f"{self._path} was cut short by another program while it was in use; put a sound"
                " copy in its place, or begin anew (--fresh moves it aside)"
            )
        self._size = size
        if found != self._file:
            raise StorageError(
                f"{self._path} was moved, deleted or replaced while it was in use; nothing more is"
                " written: put it back in its place, and run the same command again"
            )

    def add_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Add a trial as ``template_trial`` has it.

        Raises:
            StorageError: if the file is locked for too long, or the disk is full.
        """
        try:
            return super().add_trial(study_id, template_trial)
        except OperationalError as error:
            raise StorageError(advised(str(self._path), str(error.orig))) from error


def check_file(path: Path, *, create: bool, read_only: bool = False) -> None:
    """Refuse a file that is no database of ours before Optuna adds its tables to it.

    Raises:
        StorageError: it is none, is missing and not to be made, or is damaged.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        log = path.with_name(f"{path.name}-wal")
        if log.exists():  # SQLite would write what it holds into whatever comes in this place
            raise StorageError(
                f"{log} is the rest of a database that is gone; put {path.name} back beside it, or"
                " delete it"
            ) from None
        if create:
            return
        raise NoStudies(f"there is no study database at {path}; run a study first") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: {reason}") from None
    if start and start != _MAGIC:
        raise Damaged(f"{path} is no SQLite database; move it away or choose another storage")
    tables = _tables(path, read_only=read_only)
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


def _tables(path: Path, *, read_only: bool) -> set[str]:
    connection = None
    try:
        connection = _connect(path, read_only=read_only)
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
        raise kind(advised(str(path), " ".join(str(error).split()))) from None
    finally:
        if connection is not None:
            connection.close()


def _identity(path: Path) -> tuple[tuple[int, int] | None, int]:
    """Return what tells a file from another one of its name, and its bytes; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None, 0
    return (found.st_dev, found.st_ino), found.st_size


def is_read_only(path: Path) -> bool:
    """Return whether the file ``path`` can be read, but not be opened as SQLite opens it.

    It makes files beside it, for its log, even to read.
    """
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=BUSY_TIMEOUT)
    # A log that is not folded in yet holds the last writes, and is read where SQLite can do so.
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _wait_no_more(context: Any) -> None:
    if "locked" in str(context.original_exception) and context.connection is not None:
        connection = context.connection.connection.dbapi_connection
        connection.execute(f"PRAGMA busy_timeout = {_NO_PATIENCE}")
