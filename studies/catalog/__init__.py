"""The studies, one file each; a file's name is the name that the command line takes.

A user's own lie in the project's folders or are installed, see ``mnist_core/plugins.py``.
"""

import importlib
import os
import pkgutil
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.files import from_here
from studies.spec import StudySpec


def shipped() -> list[str]:
    """Return the names of the studies of this package, without importing them."""
    return [m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"]


def names() -> tuple[str, ...]:
    """Return the names of all studies, sorted, without importing them."""
    return tuple(plugins.names("studies", shipped()))


def named(study: str) -> str:
    """Return the name of the study that a person calls ``study``: it may be its file's path.

    Raises:
        ConfigError: if the file does not exist, or is not that of a study.
    """
    if not plugins.is_file(study):
        return study
    file = plugins.add_file(study)
    plugins.find("studies", str(file), shipped())
    return file.stem


def file_of(name: str) -> str:
    """Return the file of study ``name``, as people read it, or that a program defines it."""
    own = next((one for one in plugins.plugins("studies") if one.name == name), None)
    if own is not None:
        return own.where
    if name not in shipped():
        return "the program that defines it"
    return str(from_here(Path(__path__[0]).resolve() / f"{name}.py"))


def word(name: str) -> str:
    """Return how study ``name`` is called on a command line: by its name, or by its file."""
    return file_word(file_if_needed(name)) or name


def file_if_needed(name: str) -> str:
    """Return the file of study ``name`` if only the file names it on a command line; or ""."""
    own = next((one for one in plugins.plugins("studies") if one.name == name), None)
    if own is None or own.file is None or own.file.parent in plugins.listed_folders():
        return ""
    return str(own.file)


def file_word(file: str) -> str:
    """Return how a command line names the study in ``file``; "" for no file."""
    return file and os.path.join(os.curdir, from_here(Path(file)))


def get(name: str) -> StudySpec:
    """Return the study called ``name``.

    Raises:
        ConfigError: if there is none, its file is broken, or two places have one of this name.
    """
    own = plugins.find("studies", name, shipped())
    study = _shipped(name) if own is None else own.value(StudySpec)
    if study.name != name:
        raise ConfigError(
            f"{file_of(name)}: STUDY.name must be the file's name, but got {study.name!r}"
        )
    return study


def _shipped(name: str) -> StudySpec:
    file = file_of(name)
    try:
        study = getattr(importlib.import_module(f"{__name__}.{name}"), "STUDY", None)
    except Exception as error:  # a contributor's file may raise anything
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: {type(error).__name__}: {reason}") from error
    if not isinstance(study, StudySpec):
        raise ConfigError(f"{file}: must define STUDY, a StudySpec, but got {study!r}")
    return study
