"""The code of a user's own objective and models: a hash of each file, part of the fingerprint.

What lies in this package is not hashed: the trainer's version stands for it.
"""

import ast
import hashlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mnist_core
from mnist_core import plugins
from mnist_core.config import TrainConfig
from mnist_core.losses import LOSSES
from mnist_core.optim import OPTIMIZERS
from mnist_core.plugins.python_files import parse
from mnist_core.table import flatten
from search_spaces.space import Choice
from studies.planning import objective_class
from studies.spec import StudySpec

_HASHED = 16  # hexadecimal digits of a hash


def hashes(spec: StudySpec, train: TrainConfig) -> dict[str, str]:
    """Return the hash of each of the user's own files that trains a study's trials, by its name.

    A name has no folder of this machine, so a project may move. What ``train`` names counts unless
    the trials search it.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    models = _chosen(spec, "model.name", train.model.name)
    own = [plugins.find("models", name, _shipped_models()) for name in models]
    for name in _chosen(spec, "optim.name", train.optim.name):
        own.append(plugins.find("optimizers", name, OPTIMIZERS))
    for name in _chosen(spec, "loss.name", train.loss.name or ""):
        own.append(plugins.find("losses", name, LOSSES) if name else None)
    measured = spec.metric.removeprefix("val_")
    own += [one for one in plugins.plugins("metrics") if one.name == measured]
    own.append(plugins.find("objectives", spec.objective, objective_class.shipped()))
    files = {name: file for one in own if one for name, file in one.sources().items()}
    return {name: _hash(name, file) for name, file in sorted(files.items())}


def check_models(spec: StudySpec) -> None:
    """Raise ``ConfigError`` unless the models of a study exist and are Python; none is imported."""
    default = str(flatten(spec.fixed).get("model.name", TrainConfig().model.name))
    for name in _chosen(spec, "model.name", default):
        if plugins.find("models", name, _shipped_models()) is None:
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


def _hash(name: str, path: Path) -> str:
    # Of the syntax tree, so comments and line breaks do not matter.
    shape = repr(_shape(parse(path, name)))
    return hashlib.sha256(shape.encode()).hexdigest()[:_HASHED]


def _shape(node: Any) -> Any:
    """Return a syntax tree as plain values, the same in every version of Python."""
    if isinstance(node, list):
        return [_shape(one) for one in node]
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")
    # Newer versions of Python have more fields, which are empty here.
    kept = [(name, _shape(value)) for name, value in fields if value is not None and value != []]
    return type(node).__name__, kept
