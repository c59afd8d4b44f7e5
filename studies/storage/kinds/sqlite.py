"""SQLite files: one process at a time writes, others may read."""

from pathlib import Path
from typing import TYPE_CHECKING

from studies.storage.errors import StorageError
from studies.storage.kinds import Kind, parsed

if TYPE_CHECKING:
    from studies.storage.base import Storage


class Sqlite(Kind):
    """SQLite files."""

    example = "sqlite:///FILE"
    schemes = ("sqlite:", "sqlite+pysqlite:")
    file_schemes = ("sqlite:///", "sqlite+pysqlite:///")
    joinable = False

    def file(self, url: str) -> Path:
        """Return the file of ``url``."""
        database = parsed(url, self.example).database
        if not database or database == ":memory:":
            raise StorageError(f"storage {url!r} names no file; write {self.example}")
        return Path(database)

    def open_storage(self, url: str, *, create: bool) -> "Storage":
        """Open the file of ``url``."""
        from studies.storage.sqlite import open_file

        return open_file(url, self.file(url), create=create)

    def quoted(self, path: str) -> str:
        """Return ``path`` as SQLAlchemy reads it in a URL."""
        return path.replace("%", "%25").replace("?", "%3F")

    def check_sound(self, url: str) -> None:
        """Check the closed file of ``url``."""
        from studies.storage.sqlite import check_file

        check_file(self.file(url), create=False)


KIND = Sqlite()
