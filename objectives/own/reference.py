"""Where an objective is: its file and its name, by which every process finds it."""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_core import plugins
from mnist_core.errors import ConfigError, is_ctrl_c, said
from mnist_core.plugins import python_files

_MAIN = "__main__"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A function, a class, or an object of a frozen dataclass.

    Attributes:
        file: of the function or class, absolute; "": it was typed into a notebook or a prompt.
        module: that it was defined in.
        name: of the function or class.
        fields: of the object, as JSON; "": it is a function or class.
    """

    file: str
    module: str
    name: str
    fields: str = ""

    @property
    def label(self) -> str:
        """Names it, e.g. ``my_study.py:objective``."""
        return f"{Path(self.file).name if self.file else self.module}:{self.name}"

    @property
    def in_main(self) -> bool:
        """Whether only the running program itself has it."""
        return self.module == _MAIN


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """A function or object that only this process has: a lambda, or one defined in a function."""

    target: Any


def reference(objective: Any) -> Reference:
    """Return where ``objective`` is.

    Raises:
        ConfigError: if another process could not find it there, or it may change.
    """
    if inspect.isfunction(objective) or inspect.isclass(objective):
        return _reference(objective)
    kind = type(objective)
    if not callable(objective):
        raise ConfigError(
            f"objective: must be a function, a class, a command, or the name of a module in"
            f" objectives/, but got {objective!r:.80}"
        )
    if not dataclasses.is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ConfigError(
            f"objective: an object of {kind.__name__} may change between trials; make"
            f" {kind.__name__} a frozen dataclass, or give the class itself"
        )
    place = _reference(kind)
    fields = {one.name: getattr(objective, one.name) for one in dataclasses.fields(objective)}
    try:
        text = json.dumps(fields, allow_nan=False)
        again = json.loads(text)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"objective {place.label}: its fields must be JSON: {error}") from None
    if changed := [name for name, value in fields.items() if value != again[name]]:
        raise ConfigError(
            f"objective {place.label}: its fields must be numbers, texts, lists or tables, but"
            f" {changed[0]} is {fields[changed[0]]!r:.80}"
        )
    return dataclasses.replace(place, fields=text)


def _reference(found: Any) -> Reference:
    name = found.__qualname__
    where = f"objective {name} in {found.__module__}"
    if "<lambda>" in name:
        raise ConfigError(
            "objective: a lambda has no name by which workers could find it; write a function with"
            " def at the top of a file"
        )
    if "." in name:
        raise ConfigError(
            f"{where}: is defined inside another function or class, where workers cannot find it;"
            " move it to the top of the file"
        )
    loaded = sys.modules.get(found.__module__)
    file = _file_of(loaded)
    if not file and found.__module__ != _MAIN:
        raise ConfigError(f"{where}: is not in a Python file")
    return Reference(
        file=str(Path(file).absolute()) if file else "", module=found.__module__, name=name
    )


def load(place: Reference | Held) -> Any:
    """Return the function or object that is called; the same one as long as its module lives.

    Raises:
        ConfigError: if its file is missing or cannot be run, or does not hold it.
    """
    if isinstance(place, Held):
        return place.target
    return _made(place, module_of(place))


@functools.lru_cache(maxsize=8)
def _made(place: Reference, module: ModuleType) -> Any:
    found = getattr(module, place.name, None)
    if not callable(found):
        raise ConfigError(f"{place.file or place.module}: holds no {place.name} that can be called")
    if not inspect.isclass(found):
        return found
    try:
        return found(**(json.loads(place.fields) if place.fields else {}))
    except BaseException as error:  # the user's code may raise anything
        if is_ctrl_c(error):
            raise
        raise ConfigError(f"objective {place.label}: {said(error)}") from error


def module_of(place: Reference) -> ModuleType:
    """Return the module of the objective; ConfigError: it cannot be imported here."""
    file = str(plugins.here(Path(place.file))) if place.file else ""
    loaded = sys.modules.get(place.module)
    if loaded is not None and _is(_file_of(loaded), file):
        return loaded
    if place.in_main:
        raise ConfigError(
            f"objective {place.name}: is in the program itself, where workers cannot find it; put"
            " it into a file and import it from there, or set engine.name=inline"
        )
    if not _is(_origin(place.module), file):
        return python_files.load(Path(file))
    try:
        return importlib.import_module(place.module)
    except BaseException as error:  # a user's own file may raise anything
        if is_ctrl_c(error):
            raise
        raise ConfigError(f"{place.file}: {said(error)}") from error


def _origin(module: str) -> str | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if found is None else found.origin


def _file_of(module: ModuleType | None) -> str:
    file = getattr(module, "__file__", None) or ""
    return file if Path(file).is_file() else ""  # a program piped into Python has "<stdin>"


def _is(file: str | None, other: str) -> bool:
    if not file or not other:
        return not file and not other
    return Path(file).resolve() == Path(other).resolve()
