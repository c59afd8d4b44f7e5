"""The code of a user's own objective and models: a hash of each, part of a study's fingerprint.

Shipped code is not hashed: the trainer's version stands for it.
"""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mnist_core
import objectives
from mnist_core import model_files
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.table import flatten
from search_spaces.space import Choice
from studies.spec import StudySpec

# A user's own file lies in the same folder, so its place does not tell it from these.
SHIPPED = {
    "objectives": (
        *("base", "classification", "measured", "optuna_objective", "pairs", "training"),
    ),
    "mnist_core/models": (
        *("cnn", "drawing_cnn", "flex_cnn", "lenet5", "mlp512", "net", "net_deep", "net_sigmoid"),
        *("pair_concat", "resnet18", "siamese", "siamese_flex", "_torchvision"),
    ),
}
"""Modules of this package, by folder; every other module there is a user's own."""

_HASHED = 16  # hexadecimal digits of a hash


def hashes(spec: StudySpec, model: str) -> dict[str, str]:
    """Return the hash of each of the user's own files that trains a study's trials, by its name.

    ``model`` counts unless the trials search their model.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    modules = {model_files.module_name(name) for name in _models(spec, model)}
    own = modules - {*SHIPPED["mnist_core/models"]}
    found = {f"mnist_core/models/{name}.py": _file(_model_folders(), name) for name in own}
    if spec.objective not in SHIPPED["objectives"]:
        file = _file(map(Path, objectives.__path__), spec.objective)
        found[f"objectives/{spec.objective}.py"] = file
    return {name: _hash(name, path) for name, path in sorted(found.items())}


def check_models(spec: StudySpec) -> None:
    """Raise ``ConfigError`` unless the models of a study exist and are Python; none is imported."""
    default = TrainConfig().model.name
    for name in _models(spec, str(flatten(spec.fixed).get("model.name", default))):
        module = model_files.module_name(name)
        file = _file(_model_folders(), module)
        if not file.is_file():
            known = [path.stem for at in _model_folders() for path in at.glob("[!_]*.py")]
            raise ConfigError(f"model.name: {unknown_name('model', name, known)}")
        _parse(f"mnist_core/models/{module}.py", file)


def _models(spec: StudySpec, model: str) -> list[str]:
    searched = [
        str(choice)
        for name, parameter in spec.space.parameters.items()
        if spec.space.setting(name) == "model.name" and isinstance(parameter, Choice)
        for choice in parameter.choices
    ]
    return searched or [model]


def _model_folders() -> list[Path]:
    # Importing the package would import torch.
    return [Path(folder) / "models" for folder in mnist_core.__path__]


def _file(folders: Iterable[Path], name: str) -> Path:
    """Return the file of module ``name`` in ``folders``; of a package its ``__init__``."""
    places = [path for at in folders for path in (at / f"{name}.py", at / name / "__init__.py")]
    return next((path for path in places if path.is_file()), places[0])


def _hash(name: str, path: Path) -> str:
    # Of the syntax tree, so comments and line breaks do not matter.
    shape = repr(_shape(_parse(name, path)))
    return hashlib.sha256(shape.encode()).hexdigest()[:_HASHED]


def _parse(name: str, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(f"{name}{line}: {type(error).__name__}: {said}") from None


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
