"""The code of a user's own objective and models: a hash of each file, part of the fingerprint.

What lies in this package is not hashed: the trainer's version stands for it.
"""

import pkgutil
from collections.abc import Iterable
from pathlib import Path

import mnist_core
from mnist_core import model_files, plugins
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.losses import LOSSES
from mnist_core.optim import OPTIMIZERS
from mnist_core.plugins.python_files import parse
from mnist_core.table import flatten
from objectives.trainer.adapter import TrainerSettings
from search_spaces.space import Choice
from studies.planning import objective_class
from studies.planning.reached_code import hashes_of_own
from studies.planning.syntax import hash_of
from studies.spec import StudySpec


def hashes(spec: StudySpec, train: TrainerSettings) -> dict[str, str]:
    """Return the hash of each of the user's own files that trains a study's trials, by its name.

    A name has no folder of this machine, so a project may move. What ``train`` names counts unless
    the trials search it.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    if spec.own is not None:
        return hashes_of_own(spec.own)
    models = _chosen(spec, "model.name", train.model.name)
    names = (name for name in models if model_files.FAMILY not in name)
    own = [plugins.find("models", name, _shipped_models()) for name in names]
    for name in _chosen(spec, "optim.name", train.optim.name):
        own.append(plugins.find("optimizers", name, OPTIMIZERS))
    for name in _chosen(spec, "loss.name", train.loss.name or ""):
        own.append(plugins.find("losses", name, LOSSES) if name else None)
    measured = spec.metric.removeprefix("val_")
    own += [one for one in plugins.plugins("metrics") if one.name == measured]
    own.append(plugins.find("objectives", spec.label, objective_class.shipped()))
    files = {name: file for one in own if one for name, file in one.sources().items()}
    return {name: hash_of(parse(file, name)) for name, file in sorted(files.items())}


def check_models(spec: StudySpec) -> None:
    """Raise ``ConfigError`` unless the models of a study exist and are Python; none is imported."""
    if spec.own is not None:
        return
    default = str(flatten(spec.fixed).get("model.name", TrainerSettings().model.name))
    for name in _chosen(spec, "model.name", default):
        if model_files.FAMILY in name:
            if model_files.file_of(name) is None:
                raise ConfigError(f"model.name: {unknown_name('model', name, _shipped_models())}")
        elif plugins.find("models", name, _shipped_models()) is None:
            parse(_file(name), f"mnist_core/models/{name}.py")


def _chosen(spec: StudySpec, setting: str, default: str) -> list[str]:
    """Return the values of ``setting`` that the trials search, or else ``default``."""
    searched = [
        str(choice)
        for name, parameter in spec.space.parameters.items()
        if spec.space.setting(name) == setting and isinstance(parameter, Choice)
        for choice in parameter.choices
    ]
    return searched or [default]


def _shipped_models() -> list[str]:
    found = pkgutil.iter_modules(map(str, _model_folders()))
    return [module.name for module in found if module.name[0] != "_"]


def _model_folders() -> list[Path]:
    # Importing the package would import torch.
    return [Path(folder) / "models" for folder in mnist_core.__path__]


def _file(name: str) -> Path:
    """Return the file of this package's model ``name``; of a package its ``__init__``."""
    places: Iterable[Path] = (
        path for at in _model_folders() for path in (at / f"{name}.py", at / name / "__init__.py")
    )
    return next(path for path in places if path.is_file())
