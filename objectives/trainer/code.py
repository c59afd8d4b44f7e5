"""The user's own code that the trainer runs: found, checked, and hashed for the fingerprint.

What lies in this package is not hashed: the trainer's version stands for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_core import plugins
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.losses import LOSSES
from mnist_core.optim import OPTIMIZERS
from mnist_core.plugins import model_files, syntax
from mnist_core.plugins.kinds import Plugin
from mnist_core.table import flatten
from objectives import modules
from search_spaces.space import Choice, Space


def hashes(label: str, base: TrainConfig, space: Space, metric: str) -> dict[str, str]:
    """Return the hash of each of the user's own files that trains a study's trials, by its name.

    A name has no folder of this machine, so a project may move. What ``base`` names counts unless
    the trials search it.

    Args:
        label: the objective's module.
        base: the configuration that all trials share.
        space: the space that is searched.
        metric: the metric that the trials are judged by.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    own = [_find(kind, name) for kind, name in _named(base, _choices(space))]
    measured = metric.removeprefix("val_")
    own += [one for one in plugins.plugins("metrics") if one.name == measured]
    own.append(plugins.find("objectives", label, modules.shipped()))
    return _hashes(own)


def facts(base: TrainConfig, space: Space | None = None) -> dict[str, str]:
    """Return the hashes of the user's own models, optimizers and losses as facts of a record.

    ``space``: what is searched beside ``base``; None: nothing, ``base`` is one training.
    """
    choices = {} if space is None else _choices(space)
    found = _hashes([_find(kind, name) for kind, name in _named(base, choices)])
    return {f"code of {name}": value for name, value in found.items()}


def _hashes(own: Sequence[Plugin | None]) -> dict[str, str]:
    files = {name: file for one in own if one for name, file in one.sources().items()}
    return {name: syntax.hash_of(syntax.parse(file, name)) for name, file in sorted(files.items())}


def check_models(space: Space, fixed: Mapping[str, Any]) -> None:
    """Raise ConfigError unless the models of a study exist and are Python; none is imported.

    ``fixed``: the settings that the study fixes.
    """
    default = str(flatten(fixed).get("model.name", TrainConfig().model.name))
    for name in _choices(space).get("model.name", [default]):
        if model_files.FAMILY in name:
            if model_files.file_of(name) is None:
                unknown = unknown_name("model", name, model_files.shipped())
                raise ConfigError(f"model.name: {unknown}")
        elif _find("models", name) is None:
            shipped = model_files.file_of(name)
            assert shipped is not None  # it is among those that ship
            syntax.parse(shipped, f"mnist_core/models/{name}.py")


def check_here(config: TrainConfig, file: Path) -> None:
    """Raise ConfigError if a model, an optimizer or a loss of ``config`` is not here any more.

    ``file``: the exported file, which often lies in the folder of the project.
    """
    for kind, name in _named(config, {}):
        try:
            _find(kind, name)
        except plugins.UnknownPlugin:
            raise ConfigError(f"{file}: {plugins.missing(kind, name, near=file)}") from None


def _named(base: TrainConfig, choices: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield kind and name of each model, optimizer and loss of ``choices``, or else of ``base``."""
    for name in choices.get("model.name", [base.model.name]):
        if model_files.FAMILY not in name:
            yield "models", name
    for name in choices.get("optim.name", [base.optim.name]):
        yield "optimizers", name
    for name in choices.get("loss.name", [base.loss.name or ""]):
        if name:
            yield "losses", name


def _find(kind: str, name: str) -> Plugin | None:
    """Return the user's own ``name``; None: it is of this package; raises as ``plugins.find``."""
    if kind == "models":
        return plugins.find(kind, name, model_files.shipped())
    return plugins.find(kind, name, OPTIMIZERS if kind == "optimizers" else LOSSES)


def _choices(space: Space) -> dict[str, list[str]]:
    """Return the choices that the trials search, by setting."""
    found: dict[str, list[str]] = {}
    for name, parameter in space.parameters.items():
        if isinstance(parameter, Choice):
            found.setdefault(space.setting(name), []).extend(map(str, parameter.choices))
    return found
