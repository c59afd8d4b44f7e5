"""Storage URLs: the file that one names, how it is shown, and whether it can be used."""

from pathlib import Path

from mnist_core.files import from_here
from studies.core.redaction import masked
from studies.storage.kinds import Kind, kind_of, known

JOURNAL = "journal:///"


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite file ``path``."""
    return _file_url(known()["sqlite"], path)


def journal_url(path: Path) -> str:
    """Return the URL of the journal file ``path``."""
    return _file_url(known()["journal"], path)


def with_file(url: str, path: Path) -> str:
    """Return the URL of the file ``path``, a storage of the same kind as ``url``."""
    return _file_url(kind_of(url), path)


def absolute_url(url: str) -> str:
    """Return ``url`` with an absolute path if it names a file relative to the working directory."""
    # An objective may change the working directory while the study runs.
    for kind in known().values():
        for scheme in kind.file_schemes:
            path = url.removeprefix(scheme)
            if path != url and path and path[0] not in "/:?":  # ":memory:" is not a file
                return f"{scheme}{kind.quoted(Path.cwd().as_posix())}/{path}"
    return url


def storage_file(url: str) -> Path | None:
    """Return the file of ``url``, None on a server; raise ``StorageError`` if the URL is wrong."""
    return kind_of(url).file(url)


def is_joinable(url: str) -> bool:
    """Return whether several processes can write to the storage at ``url``."""
    return kind_of(url).joinable


def shown(url: str) -> str:
    """Return ``url`` as it may be printed: the file of SQLite, or the URL without its password."""
    kind = kind_of(url)
    path = kind.file(url)
    return masked(url) if path is None or kind.joinable else str(from_here(path))


def check_url(url: str) -> None:
    """Raise ``StorageError`` if ``url`` is wrong, or its driver is not installed; opens nothing."""
    kind_of(url).check(url)


def _file_url(kind: Kind, path: Path) -> str:
    return f"{kind.file_schemes[0]}{kind.quoted(path.as_posix())}"
