"""Optuna journal files, also on a disk that several machines share."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from studies.core.redaction import masked
from studies.storage.errors import StorageError

if TYPE_CHECKING:
    from studies.storage.base import Storage

EXAMPLE = "journal:///FILE"
FILE_SCHEMES = ("journal:///",)
JOINABLE = True


def matches(url: str) -> bool:
    """Whether ``url`` is one of a journal."""
    return url.startswith("journal:")


def quoted(path: str) -> str:
    """Return ``path`` as it is."""
    return path


def file(url: str) -> Path:
    """Return the file of ``url``.

    Raises:
        StorageError: if it does not name a file on this machine.
    """
    path = url.removeprefix(FILE_SCHEMES[0])
    if path == url or not path:
        raise StorageError(f"storage {masked(url)!r} names no file; write {EXAMPLE}")
    return Path(path)


def check(url: str) -> None:
    """Check that ``url`` names a file."""
    file(url)


def open_storage(url: str, *, create: bool) -> "Storage":
    """Open the file of ``url``."""
    from studies.storage.journal import Journal
    from studies.storage.journal_file import check_file

    check_file(file(url), create=create)
    return Journal(url, file(url))


def check_sound(url: str) -> None:
    """Check the closed file of ``url``."""
    from studies.storage.journal_file import check_lines

    check_lines(file(url))


def lock_path(path: Path) -> Path:
    """Return a file beside ``path``, which NFS locks for other machines too.

    It is the folder if there is no journal yet, or the folder cannot be written.
    """
    lock = path.with_name(f"{path.name}.turn")
    if path.exists():
        with contextlib.suppress(OSError):
            lock.open("ab").close()
            return lock
    return path.parent
