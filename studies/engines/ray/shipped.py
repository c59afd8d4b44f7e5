"""The Python files of the project's folders travel to the nodes of a cluster, as a package.

So do the data files that ``[project] files`` in ``conf.toml`` names. Ray gives each node a copy, by
its content, as it does with this program itself. A worker takes its copy in place of the folders,
even where a folder of the same path is there: it may be an older one.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import UserError

PACKAGE = "studies_project_files"
"""The package that travels; folder 0 is the first of the project's folders, and so on."""

HOOK = "studies.engines.ray.shipped.use"
"""What Ray calls in each new worker process."""

_LEFT_OUT = ("__pycache__", "node_modules", "results", "site-packages")
"""Folders whose files are not the project's code, besides hidden ones and virtual environments."""

_MOST = 20 << 20
"""Bytes of code; more is a mistake: Ray sends it again to each node."""

_MOST_DATA = 100 << 20
"""Bytes of the files that ``[project] files`` names."""


def pack(parent: Path) -> Path | None:
    """Write the project's Python files, and the data files named, as a package in ``parent``.

    Return it; None: there are no folders of a project.

    Raises:
        UserError: if a file cannot be read, or they are too large.
    """
    folders = plugins.folders()
    if not folders:
        return None
    package, size, data = parent / PACKAGE, 0, 0
    named = plugins.listed_files()
    for number, folder in enumerate(folders):
        copies = package / str(number)
        copies.mkdir(parents=True)
        for file in _python_files(folder):
            size += _copied(file, copies / file.relative_to(folder))
            if size > _MOST:
                raise UserError(
                    f"{folder}: its Python files are sent to the nodes of the cluster, and are more"
                    f" than {_MOST >> 20} MiB; name a smaller folder in [project] path"
                )
        for file in named:
            if file.is_relative_to(folder):
                data += _copied(file, copies / file.relative_to(folder))
            if data > _MOST_DATA:
                raise UserError(
                    f"project.files: they are sent to the nodes of the cluster, and are more than"
                    f" {_MOST_DATA >> 20} MiB; name fewer, and put the others where all nodes see"
                    " them at the same path"
                )
    (package / "__init__.py").touch()
    return package


def _copied(file: Path, copy: Path) -> int:
    """Copy a file; return its bytes."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(file, copy)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    return copy.stat().st_size


def use() -> None:
    """Take the copies of the project's folders in this process and in those that it starts."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None or plugins.are_copies():
        return
    package = Path(spec.origin).parent
    plugins.use_copies([package / str(number) for number in range(len(plugins.folders()))])


def searched(entry: str) -> str:
    """Return ``entry`` of a module search path, or the copy if it is one of the folders."""
    return str(plugins.here(Path(entry).absolute())) if plugins.are_copies() else entry


def _python_files(folder: Path) -> Iterator[Path]:
    for place, inside, names in os.walk(folder):
        here = Path(place)
        inside[:] = sorted(name for name in inside if _is_code(here / name))
        yield from (here / name for name in sorted(names) if name.endswith(".py"))


def _is_code(folder: Path) -> bool:
    left_out = folder.name.startswith(".") or folder.name in _LEFT_OUT
    return not left_out and not (folder / "pyvenv.cfg").exists()
