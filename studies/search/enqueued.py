"""Known configurations that become a study's first trials: ``--enqueue best_config.toml``.

A file is an export of this program (its ``[record.params]`` is read), or holds the parameters of
the study's space by name, at the top or in a table ``[params]``::

    optim.name = "adam"
    adam.lr = 0.004
    schedule.name = "one_cycle"

Parameters that are left out are the sampler's to choose: ``adam.lr = 0.004`` alone is a trial of
adam with this learning rate.

They come after the default configurations, each once, however often the study is resumed; what
they are is kept with the study, so a resume does not need the file again.
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
from studies.storage.optuna_internals import required_params


@dataclass(frozen=True, kw_only=True)
class Known:
    """A known configuration.

    Attributes:
        params: hyperparameters by name; the sampler fills in those that are left out.
        source: the file it comes from.
        partial: whether some are left out.
    """

    params: Mapping[str, Any]
    source: str
    partial: bool = False

    @property
    def point(self) -> str:
        """The same for params that are equal after rounding."""
        return point_of(self.params)


def identity(params: Mapping[str, Any]) -> str:
    """Return a short hash of ``params``, the same in any order."""
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def point_of(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for params that are equal after rounding.

    Floating-point numbers come by several ways: 0.3 is a default, 0.1 + 0.2 three steps of a grid.
    """
    return json.dumps({name: _rounded(value) for name, value in params.items()}, sort_keys=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return 0.0 if abs(value) < 1e-15 else float(f"{value:.12g}")


def read_known(path: Path, space: Space) -> Known:
    """Read a configuration and check that it is a point of ``space``, or a part of one.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or holds no part of a point of ``space``;
            the line names the file and the parameter.
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
    params |= _implied(space, params)
    try:
        space.check_part(params)
    except SpaceError as error:
        raise ConfigError(f"{source}: {error}") from None
    _check_export(tables, space.settings(params), source)
    active = space.active(params)
    return Known(
        params={name: params[name] for name in active if name in params},
        source=str(path),
        partial=any(name not in params for name in active),
    )


def _implied(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices without which some of ``params`` would not exist, where there is one."""
    found: dict[str, Any] = {}
    for name in reversed(list(space.parameters)):  # a condition refers to what stands earlier
        when = space.parameters[name].when
        if when is None or name not in {*params, *found} or when.parameter in params:
            continue
        if len(when.values) == 1:
            found[when.parameter] = when.values[0]
    return found


def to_attribute(known: Sequence[Known]) -> list[dict[str, Any]]:
    """Return ``known`` as JSON values."""
    return [
        {"params": dict(one.params), "source": one.source}
        | ({"partial": True} if one.partial else {})
        for one in known
    ]


def from_attribute(values: Any) -> list[Known]:
    """Return what ``to_attribute`` gave; nothing for None."""
    return [Known(**value) for value in values or []]


def merged(*lists: Iterable[Known]) -> list[Known]:
    """Return all configurations in order, each once."""
    found: dict[str, Known] = {}
    for one in (one for some in lists for one in some):
        found.setdefault(one.point, one)
    return list(found.values())


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the params of ``trial``; of one that waits, those that are required of it."""
    return {**required_params(trial), **trial.params}


def _check_export(tables: Mapping[str, Any], settings: Mapping[str, Any], source: str) -> None:
    """Check that an export's settings are those of its params, which alone are read.

    Raises:
        ConfigError: one was changed by hand, in one of the two places.
    """
    if "record" not in tables:
        return
    written = flatten(tables)
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
