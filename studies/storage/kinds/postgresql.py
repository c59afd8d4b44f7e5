"""PostgreSQL databases: a server, which several machines may use."""

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from studies.core.redaction import masked
from studies.storage.errors import StorageError, reason
from studies.storage.kinds import Kind, parsed

if TYPE_CHECKING:
    from studies.storage.base import Storage


class Postgresql(Kind):
    """PostgreSQL databases."""

    example = "postgresql+psycopg://USER@HOST/DATABASE"
    schemes = ("postgresql+psycopg:",)

    def file(self, url: str) -> None:
        """Check that ``url`` is a database URL."""
        parsed(url, self.example)

    def check(self, url: str) -> None:
        """Check that ``url`` is a database URL, and that its driver is installed."""
        try:
            parsed(url, self.example).get_dialect().import_dbapi()
        except ImportError:
            raise StorageError(
                f"{masked(url)}: the driver of this database is not installed;"
                " pip install 'mnist-studies[postgres]'"
            ) from None

    def open_storage(self, url: str, *, create: bool) -> "Storage":
        """Open the database of ``url``."""
        from optuna.exceptions import StorageInternalError

        self.check(url)
        from studies.storage.postgres import PostgresStorage
        from studies.storage.postgres_connection import prepare

        try:
            prepare(url, create=create)
            return PostgresStorage(url)
        except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            raise StorageError(f"{masked(url)}: {reason(error)}") from None


KIND = Postgresql()
