"""What can be wrong with a storage, and the one line that says so."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from mnist_core.errors import UserError
from studies.core.redaction import masked


class StorageError(UserError):
    """A storage URL, file or server cannot be used."""


class NoStudies(StorageError):
    """The storage does not exist, or is empty."""


class Damaged(StorageError):
    """The file was cut or written over, so its content is not known."""


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Turn an error of the system or of SQLite inside, at ``path`` or at its own, into one line."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise StorageError(f"{getattr(error, 'filename', None) or path}: {said}") from None


class CopyError(UserError):
    """A study cannot be copied; the target is as it was."""


_ADVICE = (
    (
        "locked",
        "another program has locked it (a database viewer, a backup, a copy, an Optuna script):"
        " wait until it is done, or end it",
    ),
    ("full", "make room"),
    ("No space", "make room"),
    ("unable to open", "make the file and its folder readable and writable"),
    ("readonly", "make the file and its folder writable"),
    ("malformed", "put a sound copy in its place"),
    ("not a database", "put a sound copy in its place"),
)
"""What to do, by a word of the database's message."""


def advised(place: str, said: str) -> str:
    """Return one line: the message ``said`` by the database ``place``, and what to do about it."""
    found = [advice for word, advice in _ADVICE if word in said]
    advice = found[0] if found else "make room, or put a sound copy in its place"
    return f"{place}: {said}; {advice}, and run the same command again"


def is_damage(error: BaseException) -> bool:
    """Return whether ``error`` says that an SQLite file was cut or written over."""
    code = getattr(getattr(_cause(error), "orig", _cause(error)), "sqlite_errorcode", None)
    # The low byte; the upper ones say more exactly what was found.
    broken = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(code, int) and code & 0xFF in broken


def reason(error: BaseException) -> str:
    """Return the database's own message, without SQLAlchemy's wrapping and links."""
    cause = _cause(error)
    origin = getattr(cause, "orig", None)
    lines = str(origin if origin is not None else cause).strip().splitlines()
    # The driver tried several addresses, which have a line each.
    text = lines[-1] if lines and lines[0].startswith("Multiple") else "".join(lines[:1])
    return masked(text) or type(error).__name__


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
