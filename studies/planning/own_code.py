"""The code of a user's own objective and models: a hash of each file, part of the fingerprint.

What lies in this package is not hashed: the trainer's version stands for it.

A study's file often holds its objective. So its goal and its budget may change without another
fingerprint: only the statements count whose names the objective uses, and those that theirs use.
A module of the project that is imported counts as a whole.
"""

import ast
import inspect
import textwrap
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.losses import LOSSES
from mnist_core.optim import OPTIMIZERS
from mnist_core.plugins import model_files, python_files, syntax
from mnist_core.table import flatten
from objectives.own import Command, Own
from objectives.own.reference import Held, load
from objectives.trainer.adapter import TrainerSettings
from search_spaces.space import Choice
from studies.planning import objective_class
from studies.spec import StudySpec

_LARGEST = 1 << 20
"""Bytes of a file named in a command that may be code; a larger one is data."""


def hashes(spec: StudySpec, train: TrainerSettings) -> dict[str, str]:
    """Return the hash of each of the user's own files that trains a study's trials, by its name.

    A name has no folder of this machine, so a project may move. What ``train`` names counts unless
    the trials search it.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    if spec.own is not None:
        return of_objective(spec.own)
    models = _chosen(spec, "model.name", train.model.name)
    names = (name for name in models if model_files.FAMILY not in name)
    own = [plugins.find("models", name, model_files.shipped()) for name in names]
    for name in _chosen(spec, "optim.name", train.optim.name):
        own.append(plugins.find("optimizers", name, OPTIMIZERS))
    for name in _chosen(spec, "loss.name", train.loss.name or ""):
        own.append(plugins.find("losses", name, LOSSES) if name else None)
    measured = spec.metric.removeprefix("val_")
    own += [one for one in plugins.plugins("metrics") if one.name == measured]
    own.append(plugins.find("objectives", spec.label, objective_class.shipped()))
    files = {name: file for one in own if one for name, file in one.sources().items()}
    return {name: _hash(file, name) for name, file in sorted(files.items())}


def check_models(spec: StudySpec) -> None:
    """Raise ``ConfigError`` unless the models of a study exist and are Python; none is imported."""
    if spec.own is not None:
        return
    default = str(flatten(spec.fixed).get("model.name", TrainerSettings().model.name))
    for name in _chosen(spec, "model.name", default):
        if model_files.FAMILY in name:
            if model_files.file_of(name) is None:
                unknown = unknown_name("model", name, model_files.shipped())
                raise ConfigError(f"model.name: {unknown}")
        elif plugins.find("models", name, model_files.shipped()) is None:
            shipped = model_files.file_of(name)
            assert shipped is not None  # it is among those that ship
            syntax.parse(shipped, f"mnist_core/models/{name}.py")


def _chosen(spec: StudySpec, setting: str, default: str) -> list[str]:
    """Return the values of ``setting`` that the trials search, or else ``default``."""
    searched = [
        str(choice)
        for name, parameter in spec.space.parameters.items()
        if spec.space.setting(name) == setting and isinstance(parameter, Choice)
        for choice in parameter.choices
    ]
    return searched or [default]


def of_objective(own: Own) -> dict[str, str]:
    """Return the hash of each file whose code ``own`` is, by its name; {}: the place is unknown.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    place = own.place
    if place is None or isinstance(place, Held):
        return {}
    if isinstance(place, Command):
        return _of_command(place)
    if not place.file:
        # A cell of a notebook has no file, but its lines are known.
        return {place.label: syntax.hash_of(ast.parse(_source(load(place), place.label)))}
    file = plugins.here(Path(place.file))
    whole = syntax.parse(file)
    statements = syntax.reached(whole, place.name)
    found = {file.name: syntax.hash_of(ast.Module(body=statements, type_ignores=[]))}
    roots = [file.parent, *plugins.folders()]
    beside = python_files.sources(file, roots)
    found |= {name: _hash(path) for name, path in beside.items() if path != file}
    return dict(sorted(found.items()))


def code_facts(own: Own) -> dict[str, str]:
    """Return the hashes of the objective's code as facts of a record, by name."""
    return {f"code of {name}": found for name, found in of_objective(own).items()}


def _hash(file: Path, shown: str = "") -> str:
    return syntax.hash_of(syntax.parse(file, shown))


def _of_command(command: Command) -> dict[str, str]:
    """Return the hashes of the files that the words of ``command`` name."""
    found = {}
    for word in command.words:
        path = Path(word)
        if "{" in word or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        python = path.suffix == ".py"
        found[path.name] = _hash(path) if python else syntax.hash_of_bytes(path.read_bytes())
    return dict(sorted(found.items()))


def _source(found: object, label: str) -> str:
    try:
        return textwrap.dedent(inspect.getsource(found if callable(found) else type(found)))
    except (OSError, TypeError) as error:
        raise ConfigError(
            f"objective {label}: its source cannot be read ({error}); put it into a file"
        ) from None
