"""The Python files of a user: which of them a file imports, and the import of one."""

import ast
import importlib.machinery
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from mnist_core.errors import ConfigError, is_ctrl_c, said
from mnist_core.files import from_here
from mnist_core.plugins import syntax

_STAMP = "__studies_stamp__"
"""The attribute of an imported module with its file's time and size."""
_THIS_PROJECT = ("mnist_core", "objectives", "search_spaces", "studies")
"""Packages whose version stands for their code."""


def sources(file: Path, roots: Iterable[Path], only: str = "") -> dict[str, Path]:
    """Return ``file`` and all modules below ``roots`` that it imports, by name below its root.

    ``only``: the one package that counts, if any. Modules of this project do not count.

    Raises:
        ConfigError: if one is not Python.
    """
    found: dict[str, Path] = {}
    places = list(dict.fromkeys(roots))
    left = [file]
    while left:
        one = left.pop()
        root = next((place for place in places if one.is_relative_to(place)), one.parent)
        if (name := one.relative_to(root).as_posix()) in found:
            continue
        found[name] = one
        package = one.relative_to(root).parent.parts
        for module in _imported(syntax.parse(one), package):
            top = module.partition(".")[0]
            if top not in _THIS_PROJECT and only in ("", top):
                left += _module_files(module, places)
    return found


def _imported(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the dotted names of all that a module of ``package`` may import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            yield source
            yield from (f"{source}.{alias.name}".lstrip(".") for alias in node.names)


def _module_files(module: str, roots: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that the import of ``module`` runs, of the first root that has it."""
    parts = module.split(".")
    for root in roots:
        packages = [root.joinpath(*parts[: n + 1], "__init__.py") for n in range(len(parts))]
        files = [*packages, root.joinpath(*parts).with_suffix(".py")]
        there = [file for file in files if file.is_file()]
        if there:
            yield from there
            return


def load(file: Path) -> ModuleType:
    """Return the module in ``file``, imported once, and again when the file has changed.

    Its name is the file's, and its folder is the last place where Python looks for modules: its
    neighbours can be imported, and a worker can unpickle what it defines.

    Raises:
        ConfigError: if the import fails, or Python has another module of this name.
    """
    name, folder = file.stem, str(file.parent)
    there = sys.modules.get(name)
    stamp = _stamp(file)
    if there is not None and _is(there, file) and getattr(there, _STAMP, stamp) == stamp:
        return there
    _check_name(file, there)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # a user's own file may raise anything
        del sys.modules[name]
        if is_ctrl_c(error):
            raise
        raise ConfigError(f"{raised(error, file)}{_advice(error, name)}") from error
    setattr(module, _STAMP, stamp)
    return module


def check_module_name(file: Path, setting: str = "") -> None:
    """Raise ConfigError, which begins with ``setting``, if no module can have the file's name."""
    if file.stem.isidentifier():
        return
    better = re.sub(r"\W+", "_", file.stem).strip("_")
    better = better if better.isidentifier() else f"my_{better}"
    raise ConfigError(
        f"{setting}{from_here(file)}: a module is called by letters, digits and _, and begins with"
        f" no digit; rename the file, e.g. to {better}.py"
    )


def raised(error: BaseException, file: Path) -> str:
    """Return in one line what code in ``file`` raised, with the line of the file."""
    line = ""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = f", line {error.lineno}"
    elif frames:
        line = f", line {frames[-1].lineno}"
    return f"{from_here(file)}{line}: {said(error)}"


def _advice(error: BaseException, name: str) -> str:
    """Return what to do about an import that failed in module ``name``; or ""."""
    if isinstance(error, ImportError) and "relative import" in str(error):
        return "; a file of a project is not in a package: leave out the dot"
    if isinstance(error, ImportError) and error.name == name:
        return "; the files import each other: move what both need into a third one"
    return ""


def _is(module: ModuleType, file: Path) -> bool:
    return getattr(module, "__file__", None) == str(file)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError as error:
        raise ConfigError(f"{from_here(file)}: cannot be read: {error.strerror}") from None
    return state.st_mtime_ns, state.st_size


def _check_name(file: Path, there: ModuleType | None) -> None:
    """Raise ConfigError if ``import`` would not find ``file`` by its name."""
    check_module_name(file)
    name, shown = file.stem, from_here(file)
    other = ""
    if name in sys.stdlib_module_names:
        other = "Python's own"
    elif there is not None and not _is(there, file) and not hasattr(there, _STAMP):
        other = str(getattr(there, "__file__", "") or "built in")
    else:
        elsewhere = [one for one in sys.path if Path(one or ".").resolve() != file.parent.resolve()]
        spec = importlib.machinery.PathFinder.find_spec(name, elsewhere)
        if spec is not None and spec.origin and Path(spec.origin) != file:
            other = spec.origin
    if other:
        raise ConfigError(
            f"{shown}: Python has another module {name} ({other}); rename one of them"
        )
