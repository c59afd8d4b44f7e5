"""Where studies are kept: a storage URL in, an Optuna storage out, every mistake one line.

A storage is an SQLite file (``storage_sqlite``), a PostgreSQL database (``storage_postgres``) or an
Optuna journal file (``storage_journal``). What a study leaves in one it leaves in the others.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from studies.storage import journal as storage_journal
from studies.storage import sqlite
from studies.storage.journal import Journal
from studies.storage.optuna_internals import (
    NOT_FOUND,
    backend_of,
    create_study,
    load_study,
    study_id,
)
from studies.storage.sql import SqlStorage, advised, is_damage, reason
from studies.storage.url import (
    Damaged,
    StorageError,
    check_url,
    journal_path,
    journal_url,
    no_driver,
    shown,
    sqlite_path,
    sqlite_url,
    storage_file,
)

__all__ = [
    "Damaged",
    "Journal",
    "Storage",
    "StorageError",
    "check_sound",
    "check_url",
    "close_storage",
    "create_study",
    "exclusive",
    "journal_url",
    "load_study",
    "one_line_errors",
    "one_line_garbage",
    "open_storage",
    "shown",
    "sqlite_path",
    "sqlite_url",
    "storage_file",
    "warm_up",
    "whole_trials",
]

Storage = SqlStorage | Journal
"""An open storage; all have their ``url``."""

_WRONG_DATABASE = (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError)
_GARBAGE = (LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError)
"""What Optuna, SQLAlchemy and this program raise on rows and values that none of them wrote."""


def open_storage(url: str, *, create: bool) -> Storage:
    """Open the storage at ``url``.

    Args:
        url: e.g. ``sqlite:///results/study.db``, ``journal:///results/study.log`` or
            ``postgresql+psycopg://me@host/studies``.
        create: make the database or file (and its folder) when there is none.

    Raises:
        StorageError: not a URL, no such file, server or database, another program's, not writable,
            locked, damaged, or made by an incompatible Optuna.
    """
    path = storage_file(url)
    if path is None:
        return _open_postgres(url, create=create)
    if create:
        _make_folder(path)
    with exclusive(url):
        if journal_path(url) is not None:
            storage_journal.check_file(path, create=create)
            return Journal(url, path)
        read_only = not create and sqlite.is_read_only(path)
        sqlite.check_file(path, create=create, read_only=read_only)
        try:
            if not path.exists():
                sqlite.make_file(path)
            storage = sqlite.SqliteStorage(url, path, read_only=read_only)
        except _WRONG_DATABASE as error:
            raise _kind(error)(advised(shown(url), reason(error))) from None
        try:
            with storage.engine.connect():
                pass
        except SQLAlchemyError as error:
            close_storage(storage)
            raise _kind(error)(advised(str(path), reason(error))) from None
    return storage


@contextmanager
def one_line_errors(url: str) -> Iterator[None]:
    """Turn what the database raises inside into one line: a full disk, no server, no study there.

    Raises:
        StorageError: in place of it.
    """
    try:
        yield
    except _WRONG_DATABASE as error:
        if not isinstance(error, RuntimeError):
            raise _kind(error)(advised(shown(url), reason(error))) from error
        raise
    except KeyError as error:
        if error.args != (NOT_FOUND,):
            raise
        raise StorageError(
            f"{shown(url)}: what was to be read or written there is gone: another program has"
            " deleted the study; put a sound copy in its place, or begin anew (--fresh)"
        ) from error


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


def whole_trials(study: optuna.Study, names: Collection[str] | None = None) -> list[FrozenTrial]:
    """Return all trials of ``study`` by number, also what its storage does not hold of them.

    A storage that was told to ``hold_only`` some user attributes reads them all anew for this.

    Args:
        study: of one of these storages, or of another.
        names: of the user attributes that are wanted; others may be left out. None: all.
    """
    storage = backend_of(study)
    if isinstance(storage, SqlStorage | Journal) and storage.held is not None:
        return storage.whole_trials(study_id(study), names)
    return study.get_trials(deepcopy=False)


def close_storage(storage: Storage) -> None:
    """Close all connections of ``storage``; SQLite's last one folds its log into the file."""
    if isinstance(storage, SqlStorage):
        storage.remove_session()
        storage.engine.dispose()


def check_sound(url: str) -> None:
    """Check the file of a storage that was closed: what others wrote over it would show up later.

    Raises:
        StorageError: if it is damaged, or not there.
    """
    path = storage_file(url)
    if path is None:
        return
    if journal_path(url) is not None:
        storage_journal.check_lines(path)
    else:
        sqlite.check_file(path, create=False)


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Keep other processes of this machine out while a database or a lease is being made.

    It locks the folder of the storage's file (the kernel lifts the lock when the holder dies). For
    a journal it is a file beside it, which a shared disk (NFS) locks for other machines too; the
    folder, where none can be made. A server, which has its own locks, and systems without
    ``flock`` are not locked.
    """
    path = storage_file(url)
    if path is None or os.name != "posix" or not path.absolute().parent.is_dir():
        yield
        return
    import fcntl  # only on POSIX

    descriptor = _to_lock(path.absolute(), journal=journal_path(url) is not None)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _kind(error: BaseException) -> type[StorageError]:
    return Damaged if is_damage(error) else StorageError


def _to_lock(path: Path, *, journal: bool) -> int:
    """Open what stands for the storage's file; a journal that is not there yet has its folder."""
    if journal and path.exists():
        with contextlib.suppress(OSError):  # a folder that cannot be written
            return os.open(path.with_name(f"{path.name}.turn"), os.O_RDWR | os.O_CREAT, 0o666)
    return os.open(path.parent, os.O_RDONLY)


def _open_postgres(url: str, *, create: bool) -> Storage:
    from studies.storage.postgres import PostgresStorage
    from studies.storage.postgres_connection import prepare

    try:
        prepare(url, create=create)
        return PostgresStorage(url)
    except ImportError:
        raise no_driver(url) from None
    except _WRONG_DATABASE as error:
        raise StorageError(f"{shown(url)}: {reason(error)}") from None


def _make_folder(path: Path) -> None:
    folder = path.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"cannot make the folder {folder}: {reason}") from None
