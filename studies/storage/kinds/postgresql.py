"""PostgreSQL databases: a server, which several machines may use."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from studies.core.redaction import masked
from studies.storage.errors import StorageError, reason
from studies.storage.kinds import parsed

if TYPE_CHECKING:
    from studies.storage.base import Storage

EXAMPLE = "postgresql+psycopg://USER@HOST/DATABASE"
FILE_SCHEMES = ()
JOINABLE = True


def matches(url: str) -> bool:
    """Whether ``url`` is one of PostgreSQL with the supported driver."""
    return url.startswith("postgresql+psycopg:")


def quoted(path: str) -> str:
    """Return ``path`` as it is."""
    return path


def file(url: str) -> Path | None:
    """Return None: the studies are on a server."""
    parsed(url, EXAMPLE)
    return None


def check(url: str) -> None:
    """Check that ``url`` is one, and that its driver is installed."""
    try:
        parsed(url, EXAMPLE).get_dialect().import_dbapi()
    except ImportError:
        raise _no_driver(url) from None


def open_storage(url: str, *, create: bool) -> "Storage":
    """Open the database of ``url``."""
    from optuna.exceptions import StorageInternalError

    check(url)
    from studies.storage.postgres import PostgresStorage
    from studies.storage.postgres_connection import prepare

    try:
        prepare(url, create=create)
        return PostgresStorage(url)
    except ImportError:
        raise _no_driver(url) from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        raise StorageError(f"{masked(url)}: {reason(error)}") from None


def check_sound(url: str) -> None:
    """Leave it to the server."""


def lock_path(path: Path) -> Path:
    """Return ``path``: there is no file to lock."""
    return path


def _no_driver(url: str) -> StorageError:
    return StorageError(
        f"{masked(url)}: the driver of this database is not installed;"
        " pip install 'mnist-studies[postgres]'"
    )
