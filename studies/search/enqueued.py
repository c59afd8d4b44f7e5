"""Configurations that become a study's first trials: ``--enqueue best_config.toml``.

A file is an export of this program, whose ``[record.params]`` is read, or it holds parameters of
the study's space by name, at the top or in a table ``[params]``. The sampler proposes those that
are left out.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from mnist_core import parsing
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.table import flatten
from search_spaces.space import Float, Space, SpaceError
from studies.core.attributes import ENQUEUED
from studies.storage.optuna_internals import required_params


@dataclass(frozen=True, kw_only=True)
class EnqueuedConfig:
    """A configuration that is tried first.

    Attributes:
        params: hyperparameters by name; the sampler proposes those that are left out.
        source: the file it comes from, or the earlier study and its trial.
        partial: whether some are left out.
        attribute: of its trial, which says where it comes from.
    """

    params: Mapping[str, Any]
    source: Any
    partial: bool = False
    attribute: str = ENQUEUED

    @property
    def point(self) -> str:
        """The same text for params that are equal after rounding."""
        return point_of(self.params)


def identity(params: Mapping[str, Any]) -> str:
    """Return a short hash of ``params``, the same in any order."""
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def point_of(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for params that are equal after rounding."""
    # Floating-point numbers come by several ways: 0.3 is a default, 0.1 + 0.2 three steps of a
    # grid.
    return json.dumps({name: _rounded(value) for name, value in params.items()}, sort_keys=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return 0.0 if abs(value) < 1e-15 else float(f"{value:.12g}")


def read_enqueued(path: Path, space: Space) -> EnqueuedConfig:
    """Read a configuration and check that it is a point of ``space``, or a part of one.

    Raises:
        ConfigError: if the file cannot be read, or does not hold a part of a point of ``space``.
    """
    source = f"--enqueue {path}"
    tables = parsing.toml_file(path, source=source)
    params = flatten(_params(tables))  # unquoted dots make tables
    if not params:
        raise ConfigError(
            f"{source}: holds no parameters; write them as `name = value`, or name a"
            " best_config.toml of a study"
        )
    for name, value in params.items():
        if name not in space.parameters:
            raise ConfigError(f"{source}: {unknown_name('parameter', name, space.parameters)}")
        # TOML tells 1 from 1.0, a space does not: the same configuration has one identity.
        parameter = space.parameters[name]
        if isinstance(parameter, Float) and type(value) in (int, float):
            params[name] = parameter.snapped(float(value))
    # ``adam.lr`` alone means the optimizer as well.
    params |= _implied(space, params)
    try:
        space.check_part(params)
    except SpaceError as error:
        raise ConfigError(f"{source}: {error}") from None
    _check_export(tables, space.settings(params), source)
    active = space.active(params)
    return EnqueuedConfig(
        params={name: params[name] for name in active if name in params},
        source=str(path),
        partial=any(name not in params for name in active),
    )


def read_enqueued_files(files: Iterable[str], space: Space) -> list[EnqueuedConfig]:
    """Return the configurations in ``files``, see ``read_enqueued``."""
    return [read_enqueued(Path(file), space) for file in files]


def _implied(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices without which some of ``params`` would not exist, if there is only one."""
    found: dict[str, Any] = {}
    for name in reversed(list(space.parameters)):  # a condition refers to what stands earlier
        when = space.parameters[name].when
        if when is None or name not in {*params, *found} or when.parameter in params:
            continue
        if len(when.values) == 1:
            found[when.parameter] = when.values[0]
    return found


def to_attribute(configs: Sequence[EnqueuedConfig]) -> list[dict[str, Any]]:
    """Return ``configs`` as JSON values."""
    return [
        {"params": dict(one.params), "source": one.source}
        | ({"partial": True} if one.partial else {})
        for one in configs
    ]


def from_attribute(values: Any) -> list[EnqueuedConfig]:
    """Return what ``to_attribute`` gave; nothing for None."""
    return [EnqueuedConfig(**value) for value in values or []]


def merged(*lists: Iterable[EnqueuedConfig]) -> list[EnqueuedConfig]:
    """Return all configurations in order, each once."""
    found: dict[str, EnqueuedConfig] = {}
    for one in (one for some in lists for one in some):
        found.setdefault(one.point, one)
    return list(found.values())


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the params of ``trial``; if it waits, those that are required of it."""
    return {**required_params(trial), **trial.params}


def trial_of(
    config: EnqueuedConfig, trials: Sequence[FrozenTrial], tried: Mapping[str, int]
) -> int | None:
    """Return the number of the trial that ``config`` is, or None."""
    if not config.partial:
        return tried.get(config.point)
    for trial in trials:
        if trial.user_attrs.get(config.attribute) == config.source:
            params = params_of(trial)
            if point_of({name: params.get(name) for name in config.params}) == config.point:
                return trial.number
    return None


def _check_export(tables: Mapping[str, Any], settings: Mapping[str, Any], source: str) -> None:
    """Check that an export's settings are those of its params, which alone are read."""
    if "record" not in tables:
        return
    written = flatten(tables)
    # Who edits one place by hand, and not the other, expects the edit to count.
    for name, value in settings.items():
        if written.get(name, value) != value:
            raise ConfigError(
                f"{source}: {name} is {written[name]!r} in the settings, but {value!r} in"
                " [record.params], which is read; make them the same, or write the parameters alone"
            )


def _params(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    record = tables.get("record")
    for inside in (record if isinstance(record, Mapping) else {}, tables):
        params = inside.get("params")
        if isinstance(params, Mapping):
            return params
    return tables
