"""The code of a user's own objective and models: a hash of each, part of a study's fingerprint.

Shipped code is not hashed: the trainer's version stands for it.
"""

from collections.abc import Iterable
from pathlib import Path

import mnist_core
import objectives
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.table import flatten
from objectives.trainer.adapter import TrainerSettings
from search_spaces.space import Choice
from studies.planning.reached_code import hashes_of_own
from studies.planning.syntax import hash_of, parsed
from studies.spec import StudySpec

# A user's own file lies in the same folder, so its place does not tell it from these.
SHIPPED = {
    "objectives": (
        *("adapter", "base", "classification", "measured", "optuna_objective", "own", "pairs"),
        *("trainer", "training"),
    ),
    "mnist_core/models": (
        *("cnn", "drawing_cnn", "flex_cnn", "lenet5", "mlp512", "net", "net_deep", "net_sigmoid"),
        *("pair_concat", "resnet18", "siamese", "siamese_flex"),
    ),
}
"""Modules of this package, by folder; every other module there is a user's own."""


def hashes(spec: StudySpec, model: str) -> dict[str, str]:
    """Return the hash of each of the user's own files that trains a study's trials, by its name.

    ``model`` counts unless the trials search their model.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    if spec.own is not None:
        return hashes_of_own(spec.own)
    own = [name for name in _models(spec, model) if name not in SHIPPED["mnist_core/models"]]
    found = {f"mnist_core/models/{name}.py": _file(_model_folders(), name) for name in own}
    if spec.objective not in SHIPPED["objectives"]:
        file = _file(map(Path, objectives.__path__), spec.objective)
        found[f"objectives/{spec.objective}.py"] = file
    return {name: hash_of(parsed(name, path)) for name, path in sorted(found.items())}


def check_models(spec: StudySpec) -> None:
    """Raise ``ConfigError`` unless the models of a study exist and are Python; none is imported."""
    if spec.own is not None:
        return
    default = TrainerSettings().model.name
    for name in _models(spec, str(flatten(spec.fixed).get("model.name", default))):
        file = _file(_model_folders(), name)
        if not file.is_file():
            known = [path.stem for at in _model_folders() for path in at.glob("[!_]*.py")]
            raise ConfigError(f"model.name: {unknown_name('model', name, known)}")
        parsed(f"mnist_core/models/{name}.py", file)


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
