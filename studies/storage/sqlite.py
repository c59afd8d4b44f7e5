"""Studies in an SQLite file."""

import contextlib
import functools
import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mnist_core.files import check_regular
from studies.storage.errors import Damaged, NoStudies, StorageError, advised, is_damage, reason
from studies.storage.patience import Patience, set_timeout
from studies.storage.sql import SqlStorage
from studies.storage.url import shown, sqlite_url

BUSY_TIMEOUT = 60.0  # seconds that a write waits for another process's write before it fails

_NO_PATIENCE = 500
"""Milliseconds that it waits after one has failed: a study that is closed shall not wait again."""

_MAGIC = b"SQLite format 3\0"


class SqliteStorage(SqlStorage):
    """Optuna's storage in one SQLite file.

    With ``read_only`` it is only read, as the file or its folder cannot be written.
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
        Patience(str(path), BUSY_TIMEOUT).watch(self.engine)
        # Connections that are older than the listeners lack the pragmas.
        self.remove_session()
        self.engine.dispose()
        sqlalchemy.event.listen(self.engine, "handle_error", _wait_no_more)
        self._file, _ = _identity(path)
        sqlalchemy.event.listen(self.engine, "begin", self._check_there)

    def _check_there(self, _connection: Any) -> None:
        """Raise ``StorageError`` if the file was moved, deleted, cut or replaced."""
        # The system would let this process write to a file that has no name any more. SQLite itself
        # makes the file smaller only in a ``VACUUM``.
        found, size = _identity(self._path)
        if found is not None and size < self._size:
            raise StorageError(
                f"{self._path} was cut short by another program while it was in use; put a sound"
                " copy in its place, or start fresh (--fresh moves it aside)"
            )
        self._size = size
        if found != self._file:
            raise StorageError(
                f"{self._path} was moved, deleted or replaced while it was in use; nothing more is"
                " written: put it back in its place, and run the same command again"
            )

    def add_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Add a trial; raise StorageError if the file is locked for too long, or the disk full."""
        try:
            return super().add_trial(study_id, template_trial)
        except OperationalError as error:
            raise StorageError(advised(str(self._path), str(error.orig))) from error


def open_file(url: str, path: Path, *, create: bool) -> SqliteStorage:
    """Open the file ``path`` of ``url``; see ``studies.storage.open``."""
    read_only = not create and _is_read_only(path)
    check_file(path, create=create, read_only=read_only)
    storage = None
    try:
        if not path.exists():
            make_file(path)
        storage = SqliteStorage(url, path, read_only=read_only)
        with storage.engine.connect():
            return storage
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        if storage is not None:
            storage.close()
        kind = Damaged if is_damage(error) else StorageError
        raise kind(advised(shown(url), reason(error))) from None


def check_file(path: Path, *, create: bool, read_only: bool = False) -> None:
    """Raise ``StorageError`` unless a file is a database of ours, or is missing and may be made."""
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
        raise Damaged(f"{path} is not an SQLite database; move it away or choose another storage")
    tables = _tables(path, read_only=read_only)
    if tables and "version_info" not in tables:
        raise StorageError(
            f"{path} is another program's database (tables: {', '.join(sorted(tables)[:3])} …); "
            "choose another storage"
        )
    if not tables and not create:
        raise NoStudies(f"{path} holds no study; run a study first")


def make_file(path: Path) -> None:
    """Make a database with Optuna's tables at ``path``, where there is no file."""
    # It appears there as a whole. A dashboard that opened a half-made file would make the same
    # tables, and one of the two programs would end with an error.
    draft = path.with_name(f".{path.name}.making")  # ours: the caller has locked the folder
    with contextlib.suppress(OSError):
        draft.unlink()  # of a process killed here
    made = SqliteStorage(sqlite_url(draft), draft)
    with made.engine.connect():
        pass  # sets the pragmas; the write-ahead log stays on
    made.close()
    try:
        draft.rename(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def _tables(path: Path, *, read_only: bool) -> set[str]:
    connection = None
    try:
        connection = _connect(path, read_only=read_only)
        patience = Patience(str(path), BUSY_TIMEOUT)
        set_timeout(connection, patience.first)
        check = connection.cursor()
        patience.run(connection, lambda: check.execute("PRAGMA quick_check(1)"))
        (verdict,) = check.fetchone()
        if verdict != "ok":
            raise Damaged(
                f"{path} is damaged ({' '.join(verdict.split())}); put a sound copy in its place,"
                " or start fresh (--fresh moves it aside)"
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
    """Return device and inode of a file (None if there is no file), and its size in bytes."""
    try:
        found = path.stat()
    except OSError:
        return None, 0
    return (found.st_dev, found.st_ino), found.st_size


def _is_read_only(path: Path) -> bool:
    """Return whether SQLite cannot open ``path`` as usual: even a reader makes files beside it."""
    if not path.is_file():
        return False
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) and _has_room(path))


def _has_room(path: Path) -> bool:
    """Return whether the disk takes the files that a reader makes; a full one refuses them."""
    connection = sqlite3.connect(path, timeout=0.0)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)
    finally:
        connection.close()
    return True


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=BUSY_TIMEOUT)
    # A log that is not folded in yet holds the last writes; SQLite reads it if it can.
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)


def _set_pragmas(connection: Any, _record: Any) -> None:
    # With a write-ahead log, readers such as the dashboard never block the writer. NORMAL: no disk
    # flush at each write; after a power cut the last writes may be missing, the file stays sound.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _wait_no_more(context: Any) -> None:
    if "locked" in str(context.original_exception) and context.connection is not None:
        set_timeout(context.connection.connection.dbapi_connection, _NO_PATIENCE)
