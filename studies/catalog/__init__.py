"""The studies, one file each; a file's name is the name that the command line takes."""

import importlib
import pkgutil

from mnist_core.errors import ConfigError, unknown_name
from studies.spec import StudySpec


def names() -> tuple[str, ...]:
    """Return the names of all studies, sorted, without importing them."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"))


def get(name: str) -> StudySpec:
    """Return the study in ``studies/catalog/<name>.py``; raise ConfigError if there is none."""
    if name not in names():
        raise ConfigError(unknown_name("study", name, names()))
    file = f"studies/catalog/{name}.py"
    try:
        study = getattr(importlib.import_module(f"{__name__}.{name}"), "STUDY", None)
    except Exception as error:  # a user's own file may raise anything
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: {type(error).__name__}: {reason}") from error
    if not isinstance(study, StudySpec):
        raise ConfigError(f"{file}: must define STUDY, a StudySpec, but got {study!r}")
    if study.name != name:
        raise ConfigError(f"{file}: STUDY.name must be the file's name, but got {study.name!r}")
    return study
