"""The project's folders: those of ``[project] path`` in ``conf.toml``, in an environment variable.

Workers and Ray's processes inherit the variable, so all of them find the same files.
"""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mnist_core import parsing
from mnist_core.errors import ConfigError, unknown_name

VARIABLE = "STUDIES_PROJECT"
"""The environment variable with the project's folders, absolute, separated as in ``PATH``."""

_COPY_OF = f"{VARIABLE}_COPY_OF"
"""The environment variable with the folders that those of ``VARIABLE`` are copies of, in order."""

CONF = Path("conf.toml")
"""Where ``[project]`` is read, in the working directory only."""


def folders() -> list[Path]:
    """Return the project's folders."""
    return _folders_in(VARIABLE)


def _folders_in(variable: str) -> list[Path]:
    given = os.environ.get(variable, "").split(os.pathsep)
    return [Path(one) for one in dict.fromkeys(given) if os.path.isabs(one)]


def use_copies(copies: Collection[Path]) -> None:
    """Take ``copies`` in place of the project's folders, which another machine has."""
    os.environ[_COPY_OF] = os.environ.get(VARIABLE, "")
    _put(copies)


def are_copies() -> bool:
    """Return whether the project's folders are copies of those of another machine."""
    return bool(_folders_in(_COPY_OF))


def here(path: Path) -> Path:
    """Return where ``path`` is in this process: in the copy of a project's folder, or itself."""
    for folder, copy in zip(_folders_in(_COPY_OF), folders(), strict=False):
        if path.is_relative_to(folder) and (found := copy / path.relative_to(folder)).exists():
            return found
    return path


def open_project() -> None:
    """Take the project's folders from ``[project]`` in ``conf.toml`` for this process and children.

    Without such a table they stay as they were inherited.

    Raises:
        ConfigError: if the table is wrong, or a folder is missing.
    """
    if listed := listed_folders():
        _put(listed)


def listed_folders() -> list[Path]:
    """Return the folders that ``conf.toml`` in the working directory names.

    Raises:
        ConfigError: as ``open_project``.
    """
    tables: dict[str, Any] = {}
    if CONF.is_file():
        # A file that is not TOML is named by the commands that read their settings in it.
        with contextlib.suppress(ConfigError):
            tables = parsing.toml_file(CONF)
    path = project_path(tables, source=str(CONF))
    return [normal(Path(one)) for one in path]


def project_path(tables: dict[str, Any], *, source: str) -> list[str]:
    """Take the table ``project`` out of ``tables``, a file's content, and return its ``path``.

    Raises:
        ConfigError: if the table is wrong.
    """
    table = tables.pop("project", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: project must be a table, but got {table!r}")
    for name in table:
        if name != "path":
            raise ConfigError(f"{source}: {unknown_name('setting of [project]', name, ['path'])}")
    path = table.get("path", [])
    if not isinstance(path, list) or not all(isinstance(one, str) for one in path):
        raise ConfigError(
            f'{source}: project.path must be a list of folders, e.g. ["."], but got {path!r}'
        )
    for one in path:
        if not Path(one).is_dir() or os.pathsep in os.path.abspath(one):
            raise ConfigError(f"{source}: project.path: {one!r} is not a folder; correct it")
    return path


def add_file(name: str) -> Path:
    """Add the folder of the file that a person has named to the project; return the file.

    Raises:
        ConfigError: if the file does not exist.
    """
    file = normal(Path(name))
    if not file.is_file():
        raise ConfigError(f"{name}: the file does not exist")
    if file.parent not in folders():
        _put([*folders(), file.parent])
    return file


def normal(path: Path) -> Path:
    """Return ``path`` absolute and without ``..``; links stay as they are."""
    return Path(os.path.normpath(path.absolute()))


def _put(paths: Collection[Path]) -> None:
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(map(str, paths)))
