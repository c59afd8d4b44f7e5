"""A user's own studies, models, objectives …: found by file, in the project's folders, installed.

The project's folders are those of ``[project] path`` in ``conf.toml``. They travel to workers in
the environment variable ``STUDIES_PROJECT``. No code outside them and outside installed packages is
run, whatever a settings file names. A file is recognised by what it defines, without importing it,
so a broken file breaks only itself.
"""

import functools
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from mnist_core.console.shell_words import command
from mnist_core.errors import ConfigError, nearest_name, unknown_name
from mnist_core.files import from_here
from mnist_core.plugins import python_files, syntax
from mnist_core.plugins.kinds import KINDS as KINDS
from mnist_core.plugins.kinds import Plugin
from mnist_core.plugins.project import CONF, normal
from mnist_core.plugins.project import VARIABLE as VARIABLE
from mnist_core.plugins.project import add_file as add_file
from mnist_core.plugins.project import are_copies as are_copies
from mnist_core.plugins.project import folders as folders
from mnist_core.plugins.project import here as here
from mnist_core.plugins.project import listed_files as listed_files
from mnist_core.plugins.project import listed_folders as listed_folders
from mnist_core.plugins.project import open_project as open_project
from mnist_core.plugins.project import project_path as project_path
from mnist_core.plugins.project import use_copies as use_copies

_T = TypeVar("_T")


class UnknownPlugin(ConfigError):
    """Nothing has the name; it may be of another project's folder."""


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
    for folder in folders():
        if Path(name).name == name and _exists(folder / f"{name}.py"):
            python_files.check_module_name(folder / f"{name}.py", setting)
    for file in _files(name):  # of another kind, or broken: then this raises
        _check_imports(file, setting)
    raise UnknownPlugin(f"{setting}{unknown(kind, name, shipped)}")


def unknown(kind: str, name: str, shipped: Collection[str] = ()) -> str:
    """Return one line: nothing is called ``name``; why a file of that name does not count."""
    known = names(kind, shipped)
    hint = _hint(kind, name, known)
    if kind == "studies" and hint:  # a list of all would hide the remedy
        return f"unknown study {name!r}{hint}; `{command('studies', 'list')}` names all"
    return unknown_name(KINDS[kind].what, name, known, hint=hint)


def choose(kind: str, name: str, shipped: Mapping[str, _T], of: Any) -> _T:
    """Return the value that is called ``name``: one of ``shipped``, or a user's own ``of``.

    Raises:
        ConfigError: as ``find``, or if the import fails, or the value is not a ``of``.
    """
    own = find(kind, name, shipped)
    if own is None:
        return shipped[name]
    value: _T = own.value(of)
    return value


def plain_name(kind: str, name: str, shipped: Collection[str] = ()) -> str:
    """Return ``name`` itself, or of a file's path the name that the file stands for.

    Raises:
        ConfigError: as ``find``.
    """
    own = find(kind, name, shipped)
    return own.name if own else name


def is_own(kind: str, name: str) -> bool:
    """Return whether ``name`` is a user's own, or the path of a Python file."""
    return is_file(name) or bool(_called(kind, name))


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


def missing(kind: str, name: str, *, near: Path) -> str:
    """Return one line: what ``near`` was made with is not here; where its file may be.

    ``near``: a file or folder, usually in the folder of the project.
    """
    name = Path(name).stem if is_file(name) else name
    gone, file = f"its {KINDS[kind].what} {name} is not here", f"{name}.py"
    above = normal(near).parents
    for folder in above:
        if _is_of(kind, folder / file):
            where = f"{folder / file} defines one: run this in {folder}, or set"
            return f"{gone}; {where} {VARIABLE}={folder}"
    # Of the user's own, only files in a project's folders are ever run, so it was in one of them.
    root = next((one for one in above if (one / CONF).is_file() or one in folders()), None)
    there = [str(one) for one in folders() if root in (one, *one.parents)]
    if there:
        return (
            f"{gone} any more: it was {file} in {' or '.join(there)}; put the file back there, or"
            f" set {VARIABLE} to the folder that has it now"
        )
    looked = f" (looked in {', '.join(map(str, folders()))})" if folders() else ""
    return (
        f"{gone}{looked}: it was {file} in a folder of its project; run this in the project's"
        f" folder, or set {VARIABLE} to the one that has it"
    )


def _hint(kind: str, name: str, known: Collection[str]) -> str:
    """Return why a file of this name does not count, or where one may be."""
    if files := _files(name):
        wanted = " or ".join(_names_in(kind, files[0]))
        return f"; {from_here(files[0])} does not define {wanted}"
    for folder in folders():
        if name and _exists(folder / f"{name}.py"):
            return f"; {name}.py has a name that cannot be imported: take letters, digits and _"
        if name and _exists(folder / name / "__init__.py"):
            return f"; {name} is a folder: write {name}.py, which may import from it"
    if kind == "studies" and name.isidentifier() and Path(f"{name}.py").is_file():
        return f'; name its file, ./{name}.py, or give {CONF} here [project] with path = ["."]'
    if name.isidentifier() and Path(f"{name}.py").is_file():
        return f'; {name}.py here counts once {CONF} has [project] with path = ["."]'
    if folders() or nearest_name(name, known):
        return ""
    if kind == "studies":
        return "; if it is your own, name its file, e.g. ./my_study.py"
    return f"; if it is your own, run this in its project's folder, or set {VARIABLE} to that"


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
        raise UnknownPlugin(f"{setting}{name}: the file does not exist")
    python_files.check_module_name(file, setting)
    if file.stem.startswith("_"):
        raise ConfigError(
            f"{setting}{from_here(file)}: a file whose name begins with _ is only imported by"
            f" others; rename it, e.g. to {file.stem.strip('_') or 'mine'}.py"
        )
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
    files = (one for one in sorted(folder.glob("[!_.]*.py")) if one.is_file())
    return (one for one in files if one.stem.isidentifier())


def _exists(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # no possible name: too long, a NUL
        return False


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
