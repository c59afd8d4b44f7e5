"""Results from elsewhere that the sampler learns from: ``--import results.csv``.

The file has a line of names, then a line for each result: the parameters of the study's space, and
each objective of the study::

    optim.name,adam.lr,sgd.lr,val_accuracy
    adam,0.004,,0.981
    sgd,,0.1,0.975

A parameter that does not exist for a line's choices is left empty. The results are kept with the
study, and samplers see them as finished trials. They are not trials of the study: none is counted,
reported, confirmed or used for pruning.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import ConfigError, unknown_name
from search_spaces.space import Choice, Float, Int, Parameter, Space, SpaceError
from studies.core.attributes import IMPORTED
from studies.core.formatting import is_share
from studies.search.enqueued import point_of
from studies.search.optuna_bridge import to_distribution

MOST = 10_000
"""Maximum number of imported results of a study: all are read at each resume."""

_ANY_TIME = datetime(2000, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One result from elsewhere.

    Attributes:
        params: all hyperparameters that are active, by name.
        values: of each objective, the metric first.
        source: the file and line that it comes from.
    """

    params: Mapping[str, Any]
    values: Sequence[float]
    source: str


def read_results(path: Path, space: Space, objectives: Sequence[str]) -> list[Result]:
    """Return the results in ``path``, a CSV file with a column for each of ``objectives``.

    Raises:
        ConfigError: if the file cannot be read, or a line is not a result in ``space``.
    """
    source = f"--import {path}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: is not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise ConfigError(f"{source}: is not CSV: {error}") from None
    if len(rows) < 2:
        raise ConfigError(f"{source}: holds no results; give a line of names, then one for each")
    names, known = rows[0], [*space.parameters, *objectives]
    for name in names:
        if name not in known:
            raise ConfigError(f"{source}: {unknown_name('column', name, known)}")
        if names.count(name) > 1:
            raise ConfigError(f"{source}: column {name} is there twice")
    for name in objectives:
        if name not in names:
            raise ConfigError(f"{source}: lacks the column {name}, the values of the study")
    found = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        where = f"{source}, line {line}"
        if len(row) != len(names):
            raise ConfigError(f"{where}: has {len(row)} values, but there are {len(names)} names")
        cells = dict(zip(names, row, strict=True))
        params = {
            name: _parsed(space.parameters[name], text, f"{where}: {name}")
            for name, text in cells.items()
            if name in space.parameters and text != ""
        }
        try:
            space.check(params)
        except SpaceError as error:
            raise ConfigError(f"{where}: {error}") from None
        values = [_value(name, cells[name], where) for name in objectives]
        found.append(Result(params=params, values=values, source=f"{path}:{line}"))
    return found


def read_result_files(
    files: Iterable[str], space: Space, objectives: Sequence[str]
) -> list[Result]:
    """Return the results in all ``files``, see ``read_results``."""
    return [one for file in files for one in read_results(Path(file), space, objectives)]


def to_attribute(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return ``results`` as JSON values."""
    return [asdict(result) for result in results]


def from_attribute(values: Any) -> list[Result]:
    """Return what ``to_attribute`` gave; nothing for None."""
    return [Result(**value) for value in values or []]


def merged(*lists: Iterable[Result]) -> list[Result]:
    """Return all results in order, without repetitions of the same params and values.

    Raises:
        ConfigError: if there are more than ``MOST``.
    """
    found: dict[tuple[str, tuple[float, ...]], Result] = {}
    for one in (one for some in lists for one in some):
        found.setdefault((point_of(one.params), tuple(one.values)), one)
    if len(found) > MOST:
        raise ConfigError(f"--import: {len(found)} results are more than {MOST}; leave some out")
    return list(found.values())


def as_trials(results: Sequence[Result], space: Space) -> list[FrozenTrial]:
    """Return ``results`` as a sampler sees them: finished trials, numbered below 0."""
    # Numbered below 0, as the study's own trials start at 0.
    return [
        FrozenTrial(
            number=index - len(results),
            trial_id=index - len(results),
            state=TrialState.COMPLETE,
            value=None,
            values=list(result.values),
            datetime_start=_ANY_TIME,
            datetime_complete=_ANY_TIME,
            params=dict(result.params),
            distributions={n: to_distribution(space.parameters[n]) for n in result.params},
            user_attrs={IMPORTED: result.source},
            system_attrs={},
            intermediate_values={},
        )
        for index, result in enumerate(results)
    ]


def _parsed(parameter: Parameter, text: str, where: str) -> Any:
    if isinstance(parameter, Choice):
        # Another text is refused later, with the list of choices.
        return next((choice for choice in parameter.choices if text == str(choice)), text)
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(f"{where} must be a number, but got {text!r}") from None
    if isinstance(parameter, Float):
        return parameter.snapped(number)
    assert isinstance(parameter, Int)
    return int(number) if number.is_integer() else number


def _value(name: str, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{where}: {name} must be a number, but got {text!r}") from None
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {name} must be a finite number, but got {text!r}")
    if is_share(name) and value > 1:
        raise ConfigError(
            f"{where}: {name} must be at most 1, as it is a share, but got {text}; write 99 % as"
            " 0.99"
        )
    return value
