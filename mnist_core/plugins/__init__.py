"""A user's own studies, models, objectives …: found by file, in the project's folders, installed.

The project's folders are those of ``[project] path`` in ``conf.toml``. They travel to workers in
the environment variable ``STUDIES_PROJECT``. No code outside them and outside installed packages is
run, whatever a settings file names. A file is recognised by what it defines, without importing it,
so a broken file breaks only itself.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_core.errors import ConfigError, is_ctrl_c, said, unknown_name
from mnist_core.files import from_here
from mnist_core.plugins import python_files, syntax
from mnist_core.plugins.project import CONF, normal
from mnist_core.plugins.project import VARIABLE as VARIABLE
from mnist_core.plugins.project import add_file as add_file
from mnist_core.plugins.project import folders as folders
from mnist_core.plugins.project import listed_folders as listed_folders
from mnist_core.plugins.project import open_project as open_project
from mnist_core.plugins.project import project_path as project_path


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
        except BaseException as error:  # a package of others may raise anything
            if is_ctrl_c(error):
                raise
            raise ConfigError(f"{self.where}: {said(error)}") from error

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
        ConfigError: if nothing has this name, two places have it, or its file cannot be read.
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
    setting = f"{of.setting}: " if of.setting else ""
    for file in _files(name):  # of another kind, or broken: then this raises
        _check_imports(file, setting)
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
                syntax.parse(file)
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
    files = [normal(one) for one in here]
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
        raise ConfigError(f"{setting}{name}: the file does not exist")
    if not _defines(kind, file):
        wanted = " or ".join(_names_in(kind, file))
        _check_imports(file, setting)
        raise ConfigError(f"{setting}{from_here(file)}: is not a {of.what}: must define {wanted}")
    found = find(kind, file.stem, shipped)
    assert found is not None  # a shipped one of this name would be refused
    return found


def _check_imports(file: Path, setting: str) -> None:
    """Raise ConfigError if a file that lacks what it should define could not be imported either."""
    if missing := syntax.missing_import(syntax.parse(file), file.parent):
        raise ConfigError(f"{setting}{from_here(file)}, {missing}")


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
    return not _names_in(kind, file).keys().isdisjoint(syntax.defined(syntax.parse(file)))


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


def _plural(kind: str) -> str:
    return {"datasets": "data sets"}.get(kind, kind)
