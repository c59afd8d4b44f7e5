"""Storage URLs: which kind of storage one names, and how it is shown.

``sqlite:///FILE``, ``journal:///FILE`` (three slashes: relative to the working directory; four:
from the root) and ``postgresql+psycopg://USER@HOST/DATABASE``.
"""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from mnist_core.errors import UserError
from mnist_core.files import from_here
from studies.core.redaction import masked

JOURNAL = "journal:///"
_SQLITE = "sqlite:///"
_RELATIVE_TO_HERE = (_SQLITE, "sqlite+pysqlite:///", JOURNAL)


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite file ``path``, from which SQLAlchemy reads that very path."""
    return f"{_SQLITE}{_quoted(path.as_posix())}"


def journal_url(path: Path) -> str:
    """Return the URL of the journal file ``path``."""
    return f"{JOURNAL}{path.as_posix()}"


def absolute_url(url: str) -> str:
    """Return ``url`` with an absolute path, if it names a file relative to the working directory.

    An objective may change the working directory while the study runs.
    """
    for scheme in _RELATIVE_TO_HERE:
        path = url.removeprefix(scheme)
        if path != url and path and path[0] not in "/:?":  # ":memory:" names no file
            here = Path.cwd().as_posix()
            return f"{scheme}{here if scheme == JOURNAL else _quoted(here)}/{path}"
    return url


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3F")


POSTGRES_DRIVER = "psycopg"
_JOURNAL = "journal:"
_KNOWN = "sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE or journal:///FILE"


class StorageError(UserError):
    """A storage URL, file or server cannot be used."""


class NoStudies(StorageError):
    """There is no such file, or it or the server has no studies, and nothing else either."""


class Damaged(StorageError):
    """The file was cut or written over, so that what it held cannot be known."""


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, or None for another kind of storage.

    Raises:
        StorageError: not a storage URL, or one that names no file.
    """
    if url.startswith(_JOURNAL):
        return None
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StorageError(f"storage {url!r} names no file; write sqlite:///PATH")
    return Path(parsed.database)


def journal_path(url: str) -> Path | None:
    """Return the file of a journal URL, or None for another kind of storage.

    Raises:
        StorageError: a journal URL that names no file on this machine.
    """
    if not url.startswith(_JOURNAL):
        return None
    path = url.removeprefix(JOURNAL)
    if path == url or not path:
        raise StorageError(f"storage {masked(url)!r} names no file; write journal:///PATH")
    return Path(path)


def storage_file(url: str) -> Path | None:
    """Return the file that holds the studies of ``url``, or None: a server does."""
    return journal_path(url) or sqlite_path(url)


def shown(url: str) -> str:
    """Return ``url`` as it may be printed: the file of SQLite, others without their password."""
    if url.startswith(_JOURNAL):
        return masked(url)
    path = sqlite_path(url)
    return masked(url) if path is None else str(from_here(path))


def check_url(url: str) -> None:
    """Check what can be known of a storage without touching it.

    Raises:
        StorageError: not a URL, or the driver of its database is not installed.
    """
    if storage_file(url) is None:
        try:
            parse(url).get_dialect().import_dbapi()
        except ImportError:
            raise no_driver(url) from None


def parse(url: str) -> URL:
    """Return the parts of a database's URL.

    Raises:
        StorageError: it is none, or of a database that is not supported.
    """
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):  # ValueError: a port that is no number
        raise StorageError(
            f"storage {masked(url)!r} is no database URL; write {_KNOWN}, for example"
            " sqlite:///results/study.db"
        ) from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", f"postgresql+{POSTGRES_DRIVER}"):
        raise StorageError(f"storage {masked(url)!r} is of no supported kind; write {_KNOWN}")
    return parsed


def no_driver(url: str) -> StorageError:
    """Return the error of a missing driver."""
    return StorageError(
        f"{shown(url)}: the driver of this database is not installed;"
        " pip install 'mnist-studies[postgres]'"
    )
