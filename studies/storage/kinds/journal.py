"""Optuna journal files, also on a disk that several machines share."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from studies.core.redaction import masked
from studies.storage.errors import StorageError
from studies.storage.kinds import Kind

if TYPE_CHECKING:
    from studies.storage.base import Storage


class JournalFiles(Kind):
    """Optuna journal files."""

    example = "journal:///FILE"
    schemes = ("journal:",)
    file_schemes = ("journal:///",)

    def file(self, url: str) -> Path:
        """Return the file of ``url``, which must be on this machine."""
        path = url.removeprefix(self.file_schemes[0])
        if path == url or not path:
            raise StorageError(f"storage {masked(url)!r} names no file; write {self.example}")
        return Path(path)

    def open_storage(self, url: str, *, create: bool) -> "Storage":
        """Open the file of ``url``."""
        from studies.storage.journal import Journal
        from studies.storage.journal_file import check_file

        check_file(self.file(url), create=create)
        return Journal(url, self.file(url))

    def check_sound(self, url: str) -> None:
        """Check the closed file of ``url``."""
        from studies.storage.journal_file import check_lines

        check_lines(self.file(url))

    def lock_path(self, path: Path) -> Path:
        """Return a file beside ``path``; the folder if there is no journal yet, or it is read-only.

        NFS locks a file for other machines too, but not a folder.
        """
        lock = path.with_name(f"{path.name}.turn")
        if path.exists():
            with contextlib.suppress(OSError):
                lock.open("ab").close()
                return lock
        return path.parent


KIND = JournalFiles()
