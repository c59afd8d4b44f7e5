"""Opens the storage of a URL, locks it while it changes, and turns its errors into one line."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from mnist_core.errors import UserError
from studies.core.attributes import FINGERPRINT, misshapen
from studies.storage.base import Storage
from studies.storage.contents import Content, read_content
from studies.storage.errors import Damaged, StorageError, advised, is_damage, reason
from studies.storage.kinds import kind_of
from studies.storage.optuna_internals import (
    NOT_FOUND,
    backend_of,
    create_study,
    load_study,
    name_metrics,
    study_id,
)
from studies.storage.url import (
    check_url,
    journal_url,
    shown,
    sqlite_url,
    storage_file,
)

__all__ = [
    "Damaged",
    "Storage",
    "StorageError",
    "check_sound",
    "check_url",
    "close_storage",
    "create_study",
    "exclusive",
    "journal_url",
    "load_study",
    "name_metrics",
    "one_line_errors",
    "one_line_garbage",
    "open_storage",
    "shown",
    "sqlite_url",
    "storage_file",
    "warm_up",
    "whole_trials",
]

_GARBAGE = (LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError)
"""What Optuna, SQLAlchemy and this program raise on values that none of them has written."""


def open_storage(url: str, *, create: bool) -> Storage:
    """Open the storage at ``url``.

    Args:
        create: make the database or file (and its folder) if there is none.

    Raises:
        StorageError: if it is not a URL, not there, another program's, not writable, locked,
            damaged, or made by an incompatible Optuna.
    """
    path = storage_file(url)
    if create and path is not None:
        _make_folder(path)
    with exclusive(url):
        return kind_of(url).open_storage(url, create=create)


def close_storage(storage: Storage) -> None:
    """Close all connections of ``storage``."""
    storage.close()


def check_sound(url: str) -> None:
    """Raise ``StorageError`` if a closed storage is damaged: it would show up later."""
    kind_of(url).check_sound(url)


def warm_up() -> None:
    """Import now what Optuna imports when it opens its first database, a third of a second."""
    RDBStorage("sqlite://")  # in memory


def whole_trials(study: optuna.Study, names: Collection[str] | None = None) -> list[FrozenTrial]:
    """Return all trials of ``study`` by number, also what its storage does not hold of them.

    Of their user attributes all but those with ``names`` may be left out; None: all are wanted.
    """
    storage = backend_of(study)
    if isinstance(storage, Storage) and storage.held is not None:
        return storage.whole_trials(study_id(study), names)
    return study.get_trials(deepcopy=False)


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Keep other processes out while a database or a lease is made; not on a server."""
    path = storage_file(url)
    if path is None or os.name != "posix" or not path.absolute().parent.is_dir():
        yield
        return
    import fcntl  # only on POSIX

    # The kernel lifts the lock when its holder dies. A server has locks of its own.
    lock = kind_of(url).lock_path(path.absolute())
    descriptor = os.open(lock, os.O_RDONLY if lock.is_dir() else os.O_RDWR)  # NFS wants O_RDWR
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def one_line_errors(url: str) -> Iterator[None]:
    """Turn errors of the database inside into a StorageError of one line, e.g. of a full disk."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        kind = Damaged if is_damage(error) else StorageError
        raise kind(advised(shown(url), reason(error))) from error
    except KeyError as error:
        if error.args != (NOT_FOUND,):
            raise
        raise StorageError(
            f"{shown(url)}: what was to be read or written there is gone: another program has"
            " deleted the study; put a sound copy in its place, or start fresh (--fresh)"
        ) from error


@contextmanager
def one_line_garbage(url: str) -> Iterator[None]:
    """Turn an error inside into a StorageError if the storage holds values of another shape.

    If all values are as this program writes them, the error is a defect of ours and is raised.
    """
    try:
        yield
    except _GARBAGE as error:
        found = _garbage_in(url)
        if not found:
            raise
        said = " ".join(str(error).split())[:100]
        raise StorageError(
            f"{shown(url)}: {found} is not as Optuna or this program writes it"
            f" ({type(error).__name__}: {said}); put a sound copy in its place, or start fresh"
            " (--fresh)"
        ) from error


def _garbage_in(url: str) -> str:
    """Return the name of the first stored value of another shape, "" if there is none."""
    with suppress(UserError):
        storage = open_storage(url, create=False)
        try:
            for name in optuna.get_all_study_names(storage):
                try:
                    content = read_content(storage, name)
                except Exception:  # whatever rows and lines of another program lead to
                    return f"study {name!r}"
                found = misshapen(content.user_attrs, [t.user_attrs for t in content.trials])
                if found := found or _stray_parameter(content):
                    return f"{found} of study {name!r}"
        except _GARBAGE:
            return "the list of studies"
        finally:
            storage.close()
        return ""
    return "a value"


def _stray_parameter(content: Content) -> str:
    """Return the name of the first parameter that the study's space does not have, "" if none."""
    fingerprint = content.user_attrs.get(FINGERPRINT)
    space = {} if fingerprint is None else fingerprint["values"].get("space", {})
    for trial in content.trials:
        for name in trial.params if space else ():
            if name not in space:
                return f"parameter {name!r} of trial {trial.number}"
    return ""


def _make_folder(path: Path) -> None:
    folder = path.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"cannot make the folder {folder}: {reason}") from None
