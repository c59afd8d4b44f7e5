"""The project's folders: those of ``[project] path`` in ``conf.toml``, in an environment variable.

Workers and Ray's processes inherit the variable, so all of them find the same files.
"""

import contextlib
import glob
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

_SETTINGS = ("path", "files")
_FILES = 'files, e.g. ["table.csv"]'

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
    path = project_path(_conf(), source=str(CONF))
    return [normal(Path(one)) for one in path]


def listed_files() -> list[Path]:
    """Return the data files that ``conf.toml`` in the working directory names: they travel as well.

    Raises:
        ConfigError: if the table is wrong, a name has no file, or one lies outside the folders.
    """
    found: dict[Path, None] = {}
    for name in _list(_table(_conf(), str(CONF)), "files", str(CONF), _FILES):
        matched = [Path(one) for one in sorted(glob.glob(name, recursive=True))]
        inside = [one for place in matched for one in (place, *sorted(place.rglob("*")))]
        files = [normal(one) for one in inside if one.is_file()]
        if not files:
            raise ConfigError(f"{CONF}: project.files: {name!r} names no file; correct it")
        for file in files:
            if not any(file.is_relative_to(folder) for folder in folders()):
                raise ConfigError(
                    f"{CONF}: project.files: {name!r} lies in no folder of project.path, with which"
                    " it would travel; move it there, or add its folder"
                )
        found |= dict.fromkeys(files)
    return list(found)


def _conf() -> dict[str, Any]:
    tables: dict[str, Any] = {}
    if CONF.is_file():
        # A file that is not TOML is named by the commands that read their settings in it.
        with contextlib.suppress(ConfigError):
            tables = parsing.toml_file(CONF)
    return tables


def project_path(tables: dict[str, Any], *, source: str) -> list[str]:
    """Take the table ``project`` out of ``tables``, a file's content, and return its ``path``.

    Raises:
        ConfigError: if the table is wrong.
    """
    table = _table(tables, source)
    _list(table, "files", source, _FILES)
    path = _list(table, "path", source, 'folders, e.g. ["."]')
    for one in path:
        if not Path(one).is_dir() or os.pathsep in os.path.abspath(one):
            raise ConfigError(f"{source}: project.path: {one!r} is not a folder; correct it")
    return path


def _table(tables: dict[str, Any], source: str) -> dict[str, Any]:
    """Take the table ``project`` out of ``tables``, and check the names in it."""
    table = tables.pop("project", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: project must be a table, but got {table!r}")
    for name in table:
        if name not in _SETTINGS:
            raise ConfigError(f"{source}: {unknown_name('setting of [project]', name, _SETTINGS)}")
    return table


def _list(table: dict[str, Any], name: str, source: str, what: str) -> list[str]:
    """Return the setting ``name``, a list of ``what``."""
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{source}: project.{name} must be a list of {what}, but got {found!r}")
    return found


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
