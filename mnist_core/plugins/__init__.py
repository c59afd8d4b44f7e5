"""A user's own studies, models, objectives …: found by file, in the project's folders, installed.

The project's folders are those of ``[project] path`` in ``conf.toml``. They travel to workers in
the environment variable ``STUDIES_PROJECT``. No code outside them and outside installed packages is
run, whatever a settings file names. A file is recognised by what it defines, without importing it,
so a broken file breaks only itself.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_core import parsing
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.files import from_here
from mnist_core.plugins import python_files

VARIABLE = "STUDIES_PROJECT"
"""The environment variable with the project's folders, absolute, separated as in ``PATH``."""

CONF = Path("conf.toml")
"""Where ``[project]`` is read, in the working directory only."""


@dataclass(frozen=True)
class Kind:
    """What can be a user's own."""

    what: str  # in errors
    names: tuple[str, ...]  # one of these is in a file of this kind; {} is the file's name as Camel
    group: str  # of entry points, each of which names a module that holds what a file would hold
    setting: str = ""  # which names one
    shipped: str = ""  # where those of this package are


KINDS = {
    "studies": Kind("study", ("STUDY",), "studies.catalog", "", "studies/catalog"),
    "models": Kind("model", ("build",), "mnist_core.models", "model.name", "mnist_core/models"),
    "objectives": Kind("objective", ("objective", "{}"), "objectives", "objective", "objectives"),
    "datasets": Kind(
        "data set", ("DATA_SET",), "mnist_core.data", "data.name", "mnist_core/data/registry.py"
    ),
    "optimizers": Kind(
        "optimizer", ("OPTIMIZER",), "mnist_core.optim", "optim.name", "mnist_core/optim.py"
    ),
    "losses": Kind("loss", ("LOSS",), "mnist_core.losses", "loss.name", "mnist_core/losses.py"),
    "metrics": Kind("metric", ("METRIC",), "mnist_core.metrics", "", "mnist_core/tasks"),
    "trackers": Kind(
        "tracker", ("PACKAGE",), "studies.tracking", "tracking.trackers", "studies/tracking"
    ),
}


@dataclass(frozen=True)
class Plugin:
    """One thing of a user's own."""

    kind: str
    name: str
    file: Path | None = None  # absolute; None: it is installed
    entry: metadata.EntryPoint | None = None

    @property
    def where(self) -> str:
        """Where it comes from, for people."""
        if self.file is not None:
            return str(from_here(self.file))
        assert self.entry is not None
        package = self.entry.dist.name if self.entry.dist else "an installed package"
        return f"{package} ({self.entry.value})"

    def load(self) -> ModuleType:
        """Return its module.

        Raises:
            ConfigError: if the import fails.
        """
        if self.file is not None:
            return python_files.load(self.file)
        assert self.entry is not None
        try:
            return importlib.import_module(self.entry.module)
        except (Exception, SystemExit) as error:  # somebody else's code may raise anything
            reason = " ".join(str(error).split())
            raise ConfigError(f"{self.where}: {type(error).__name__}: {reason}") from error

    def sources(self) -> dict[str, Path]:
        """Return its file and its own modules which that imports, by names without a folder.

        Raises:
            ConfigError: if one is not Python.
        """
        if self.file is not None:
            return python_files.sources(self.file, [self.file.parent, *folders()])
        assert self.entry is not None
        module = self.entry.module
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ConfigError(f"{self.where}: its module {module} cannot be found")
        file = Path(spec.origin)
        depth = module.count(".") + (file.name == "__init__.py")
        return python_files.sources(file, [file.parents[depth]], only=module.partition(".")[0])

    def value(self, of: type, name: str) -> Any:
        """Return the value ``name`` of its module.

        Raises:
            ConfigError: if the import fails, or the value is not a ``of``.
        """
        value = getattr(self.load(), name, None)
        if not isinstance(value, of):
            raise ConfigError(
                f"{self.where}: must define {name}, a {of.__name__}, but got {value!r}"
            )
        return value


def folders() -> list[Path]:
    """Return the project's folders."""
    given = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [Path(one) for one in dict.fromkeys(given) if os.path.isabs(one)]


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
    return [Path(os.path.normpath(Path(one).absolute())) for one in path]


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
        ConfigError: if there is no such file.
    """
    file = Path(name).absolute()
    file = Path(os.path.normpath(file))
    if not file.is_file():
        raise ConfigError(f"{name}: there is no such file")
    if file.parent not in folders():
        _put([*folders(), file.parent])
    return file


def is_file(name: str) -> bool:
    """Return whether ``name`` is the path of a Python file rather than a plain name."""
    return name.endswith(".py")


def find(kind: str, name: str, shipped: Collection[str] = ()) -> Plugin | None:
    """Return the user's own ``name``; None: it is one of ``shipped``, those of this package.

    Args:
        kind: one of ``KINDS``.
        name: a name, or the path of a file in one of the project's folders.
        shipped: names that this package has itself.

    Raises:
        ConfigError: if there is no such name, two places have it, or its file cannot be read.
    """
    of = KINDS[kind]
    if is_file(name):
        return _by_path(kind, name, shipped)
    found = _called(kind, name)
    places = [one.where for one in found]
    if name in shipped:
        places.insert(0, of.shipped)
    if len(places) > 1:
        raise ConfigError(
            f"two {_plural(kind)} are called {name}: in {places[0]} and in {places[1]}; rename one"
        )
    if found or name in shipped:
        return found[0] if found else None
    for file in _files(name):  # of another kind, or broken: then this raises
        python_files.parse(file)
    setting = f"{of.setting}: " if of.setting else ""
    said = f"{setting}{unknown_name(of.what, name, names(kind, shipped))}"
    raise ConfigError(f"{said}{_hint(kind, name)}")


def names(kind: str, shipped: Collection[str] = ()) -> list[str]:
    """Return the names of ``shipped`` and of the user's own, sorted."""
    return sorted({*shipped, *(one.name for one in plugins(kind))})


def plugins(kind: str) -> list[Plugin]:
    """Return the user's own of ``kind``, by name; files that cannot be read are left out."""
    own = [
        Plugin(kind, file.stem, file)
        for folder in folders()
        for file in _python_files(folder)
        if _is_of(kind, file)
    ]
    return sorted([*own, *_installed(kind)], key=lambda one: one.name)


def broken() -> list[str]:
    """Return a line for each file in the project's folders that is not Python."""
    lines = []
    for folder in folders():
        for file in _python_files(folder):
            try:
                python_files.parse(file)
            except ConfigError as error:
                lines.append(str(error))
    return lines


def _hint(kind: str, name: str) -> str:
    """Return why a file of this name does not count, if there is one."""
    if files := _files(name):
        wanted = " or ".join(_names_in(kind, files[0]))
        return f"; {from_here(files[0])} does not define {wanted}"
    if Path(f"{name}.py").is_file():
        return f'; {name}.py here counts once {CONF} has [project] with path = ["."]'
    return ""


def _by_path(kind: str, name: str, shipped: Collection[str]) -> Plugin:
    here = [Path(name).absolute(), *(folder / name for folder in folders())]
    files = [Path(os.path.normpath(one)) for one in here]
    inside = [file for file in files if file.parent in folders()]
    file = next((one for one in inside if one.is_file()), None)
    of = KINDS[kind]
    setting = f"{of.setting}: " if of.setting else ""
    if file is None and any(one.is_file() for one in files):
        raise ConfigError(
            f"{setting}{name} does not lie in a folder of the project, and no other code is run;"
            f" add its folder to [project] path in {CONF}"
        )
    if file is None:
        raise ConfigError(f"{setting}{name}: there is no such file")
    if not _defines(kind, file):
        wanted = " or ".join(_names_in(kind, file))
        raise ConfigError(f"{setting}{from_here(file)}: is not a {of.what}: must define {wanted}")
    found = find(kind, file.stem, shipped)
    assert found is not None  # a shipped one of this name would be refused
    return found


def _called(kind: str, name: str) -> list[Plugin]:
    own = [Plugin(kind, name, file) for file in _files(name) if _is_of(kind, file)]
    return own + [one for one in _installed(kind) if one.name == name]


def _files(name: str) -> list[Path]:
    if not name.isidentifier() or name.startswith("_"):
        return []
    files = [folder / f"{name}.py" for folder in folders()]
    return [file for file in files if file.is_file()]


def _python_files(folder: Path) -> Iterator[Path]:
    return (one for one in sorted(folder.glob("[!_.]*.py")) if one.is_file())


def _is_of(kind: str, file: Path) -> bool:
    try:
        return _defines(kind, file)
    except ConfigError:
        return False


def _defines(kind: str, file: Path) -> bool:
    return (
        not _names_in(kind, file).keys().isdisjoint(python_files.defined(python_files.parse(file)))
    )


def _names_in(kind: str, file: Path) -> dict[str, None]:
    camel = "".join(part.capitalize() for part in file.stem.split("_"))
    return dict.fromkeys(one.format(camel) for one in KINDS[kind].names)


def _installed(kind: str) -> list[Plugin]:
    group = KINDS[kind].group
    return [Plugin(kind, one.name, entry=one) for one in _entry_points(tuple(sys.path), group)]


@functools.lru_cache(maxsize=32)
def _entry_points(path: tuple[str, ...], group: str) -> tuple[metadata.EntryPoint, ...]:
    # Reading every installed package's metadata takes tens of milliseconds, so once for each path.
    del path
    return tuple(sorted(set(metadata.entry_points(group=group)), key=lambda one: one.value))


def _put(paths: Collection[Path]) -> None:
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(map(str, paths)))


def _plural(kind: str) -> str:
    return {"datasets": "data sets"}.get(kind, kind)
