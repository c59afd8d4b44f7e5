"""URLs of storages that are files: every path goes into a URL here, and nowhere else.

SQLAlchemy decodes ``%XX`` in the path of a URL and cuts it at ``?``. Pasted as it is, the folder
``a%41b`` would lead to a database in the folder ``aAb``. A journal's URL is read by this program
alone, which decodes nothing.
"""

from pathlib import Path

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
