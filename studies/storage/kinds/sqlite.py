"""SQLite files: one process at a time writes, others may read."""

from pathlib import Path
from typing import TYPE_CHECKING

from studies.storage.errors import StorageError
from studies.storage.kinds import parsed

if TYPE_CHECKING:
    from studies.storage.base import Storage

EXAMPLE = "sqlite:///FILE"
FILE_SCHEMES = ("sqlite:///", "sqlite+pysqlite:///")
JOINABLE = False


def matches(url: str) -> bool:
    """Whether ``url`` is one of SQLite."""
    return url.startswith(("sqlite:", "sqlite+pysqlite:"))


def quoted(path: str) -> str:
    """Return ``path`` as SQLAlchemy reads it in a URL."""
    return path.replace("%", "%25").replace("?", "%3F")


def file(url: str) -> Path:
    """Return the file of ``url``.

    Raises:
        StorageError: if it does not name a file.
    """
    database = parsed(url, EXAMPLE).database
    if not database or database == ":memory:":
        raise StorageError(f"storage {url!r} names no file; write {EXAMPLE}")
    return Path(database)


def check(url: str) -> None:
    """Check that ``url`` names a file."""
    file(url)


def open_storage(url: str, *, create: bool) -> "Storage":
    """Open the file of ``url``."""
    from studies.storage.sqlite import open_file

    return open_file(url, file(url), create=create)


def check_sound(url: str) -> None:
    """Check the closed file of ``url``."""
    from studies.storage.sqlite import check_file

    check_file(file(url), create=False)


def lock_path(path: Path) -> Path:
    """Return the file's folder: SQLite locks the file itself."""
    return path.parent
