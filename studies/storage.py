"""Where studies are kept: a storage URL in, an Optuna storage out, every mistake one line.

SQLite is opened with a write-ahead log (readers such as the dashboard never block the one
writer) and ``synchronous=NORMAL`` (no disk flush at each of a trial's writes; after a power cut
the last of them may be missing, the file stays sound).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mnist_core.errors import UserError
from studies.commands import masked

BUSY_TIMEOUT = 60.0
"""Seconds that a write waits for another process's write before it fails."""

_MAGIC = b"SQLite format 3\0"
_WRONG_DATABASE = (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError)
_GARBAGE = (LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError)
"""What Optuna, SQLAlchemy and this program raise on rows and values that none of them wrote."""


class StorageError(UserError):
    """A storage URL, file or server cannot be used."""


def sqlite_url(path: Path) -> str:
    """Return the storage URL of the SQLite file ``path``."""
    return f"sqlite:///{path}"


def open_storage(url: str, *, create: bool) -> RDBStorage:
    """Open the storage at ``url``.

    Args:
        url: an SQLAlchemy URL, e.g. ``sqlite:///results/study.db``.
        create: make the database (and, for SQLite, its folder) when there is none.

    Raises:
        StorageError: not a URL, no such database, no database at all, another program's database,
            not writable, locked, or made by an incompatible Optuna.
    """
    path = sqlite_path(url)
    if path is None:
        return _connect(url, {"pool_pre_ping": True})
    if create:
        _make_folder(path)
    with exclusive(url):
        _check_file(path, create=create)
        storage = _connect(url, {"connect_args": {"timeout": BUSY_TIMEOUT}})
        sqlalchemy.event.listen(storage.engine, "connect", _set_pragmas)
        # Connections of before the listener lack the pragmas.
        storage.remove_session()
        storage.engine.dispose()
        try:
            with storage.engine.connect():
                pass
        except SQLAlchemyError as error:
            close_storage(storage)
            raise StorageError(f"{path}: {_reason(error)}") from None
    return storage


def shown(url: str) -> str:
    """Return ``url`` as it may be printed: the file of SQLite, others without their password."""
    return str(sqlite_path(url) or masked(url))


def check_url(url: str) -> None:
    """Check what can be known of a storage without touching it.

    Raises:
        StorageError: not a URL, or the driver of its database is not installed.
    """
    if sqlite_path(url) is None:
        try:
            _parse(url).get_dialect().import_dbapi()
        except ImportError:
            raise _no_driver(url) from None


@contextmanager
def one_line_errors(url: str) -> Iterator[None]:
    """Turn what the database raises inside into one line: a full disk, a damaged page, no server.

    Raises:
        StorageError: in place of it.
    """
    try:
        yield
    except _WRONG_DATABASE as error:
        if not isinstance(error, RuntimeError):
            raise StorageError(
                f"{shown(url)}: {_reason(error)}; nothing more can be written or read there: make"
                " room, or put a sound copy in its place, and run the same command again"
            ) from error
        raise


@contextmanager
def one_line_garbage(url: str) -> Iterator[None]:
    """Turn what goes wrong while a study is read into one line: its values were written over.

    Only for code that reads or sums up what was read: a defect of this program would be taken for
    garbage, too (it stays the error's cause).

    Raises:
        StorageError: in place of it.
    """
    try:
        yield
    except _GARBAGE as error:
        said = " ".join(str(error).split())[:100]
        raise StorageError(
            f"{shown(url)}: holds what neither Optuna nor this program writes"
            f" ({type(error).__name__}: {said}); put a sound copy in its place, or begin anew"
            " (--fresh)"
        ) from error


def warm_up() -> None:
    """Import now what Optuna imports when it opens its first database, a third of a second."""
    RDBStorage("sqlite://")  # in memory


def close_storage(storage: RDBStorage) -> None:
    """Close all connections of ``storage``; the last one folds SQLite's log into the file."""
    storage.remove_session()
    storage.engine.dispose()


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, or None for another kind of storage."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StorageError(f"storage {url!r} names no file; write sqlite:///PATH")
    return Path(parsed.database)


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Keep other processes of this machine out while a database or a lease is being made.

    It locks the SQLite file's folder (the kernel lifts the lock when the holder dies); other
    storages, and systems without ``flock``, are not locked.
    """
    path = sqlite_path(url)
    if path is None or os.name != "posix" or not path.absolute().parent.is_dir():
        yield
        return
    import fcntl  # only on POSIX

    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):  # ValueError: a port that is no number
        raise StorageError(
            f"storage {masked(url)!r} is no database URL; write for example"
            " sqlite:///results/study.db"
        ) from None
    return parsed


def _connect(url: str, options: dict[str, Any]) -> RDBStorage:
    try:
        return RDBStorage(url, engine_kwargs=options)
    except ImportError:
        raise _no_driver(url) from None
    except _WRONG_DATABASE as error:
        raise StorageError(f"{shown(url)}: {_reason(error)}") from None


def _no_driver(url: str) -> StorageError:
    return StorageError(f"{shown(url)}: the driver of this database is not installed")


def _make_folder(path: Path) -> None:
    folder = path.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"cannot make the folder {folder}: {reason}") from None


def _check_file(path: Path, *, create: bool) -> None:
    """Refuse a file that is no database of ours before Optuna adds its tables to it."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        if create:
            return
        raise StorageError(f"there is no study database at {path}; run a study first") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: {reason}") from None
    if start and start != _MAGIC:
        raise StorageError(f"{path} is no SQLite database; move it away or choose another storage")
    tables = _tables(path)
    if tables and "version_info" not in tables:
        raise StorageError(
            f"{path} is another program's database (tables: {', '.join(sorted(tables)[:3])} …); "
            "choose another storage"
        )
    if not tables and not create:
        raise StorageError(f"{path} holds no study; run a study first")


def _tables(path: Path) -> set[str]:
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StorageError(
                f"{path} is damaged ({' '.join(verdict.split())}); put a sound copy in its place,"
                " or begin anew (--fresh moves it aside)"
            )
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: {' '.join(str(error).split())}") from None
    finally:
        if connection is not None:
            connection.close()


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _reason(error: BaseException) -> str:
    """Return the database's own words, without SQLAlchemy's wrapping and links."""
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    origin = getattr(cause, "orig", None)
    text = str(origin if origin is not None else cause).strip().splitlines()
    return masked(text[0]) if text else type(error).__name__
