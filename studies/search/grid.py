"""A grid over a conditional space: every combination of values, branch by branch, once.

Optuna's GridSampler does not take conditions, nor trials whose params are partly required.
A continuous parameter needs a number of values, or a list::

    [search]
    sampler = "grid"
    [search.sampler_options]
    points = 4                       # values of each continuous parameter …
    sgd.lr = [0.01, 0.1, 0.5]        # … but these for this one
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from random import Random
from typing import Any

from mnist_core.errors import ConfigError, unknown_name
from mnist_core.table import flatten
from search_spaces.space import Choice, Float, Int, Parameter, Space
from studies.search.branches import branches
from studies.search.enqueued import point_of

SOURCE = "search.sampler_options (grid)"
LARGEST = 50_000
"""Maximum number of points: they are all held in memory."""

_MANY = 1000
"""A whole number with more values than this needs ``points``."""


class Grid:
    """The points of a grid.

    Args:
        options: ``points`` and lists of values by parameter.

    Raises:
        ConfigError: if an option is unknown, a value is outside of its parameter, a continuous
            parameter has no values, or there are too many points.
    """

    def __init__(self, space: Space, scientific: str, options: Mapping[str, Any]) -> None:
        self._space, self._scientific = space, scientific
        given = flatten(options)  # ``sgd.lr`` comes as a table ``sgd``
        points = given.pop("points", None)
        if points is not None and (type(points) is not int or not 2 <= points <= _MANY):
            raise ConfigError(f"{SOURCE}: points must be 2 to {_MANY}, but got {points!r}")
        for name in given:
            if name not in space.parameters:
                known = ["points", *space.parameters]
                raise ConfigError(f"{SOURCE}: {unknown_name('option', name, known)}")
        endless = [
            name
            for name, parameter in space.parameters.items()
            if name not in given and points is None and _is_endless(parameter)
        ]
        if endless:
            more = f" and {len(endless) - 3} more" if len(endless) > 3 else ""
            raise ConfigError(
                f"search.sampler: grid needs a finite number of values, but"
                f" {', '.join(endless[:3])}{more} {'is' if len(endless) == 1 else 'are'}"
                " continuous; set search.sampler_options.points (values of each), or list them:"
                f" search.sampler_options.{endless[0]}=[…]"
            )
        self.values = {
            name: _listed(name, parameter, given[name])
            if name in given
            else _values(parameter, points)
            for name, parameter in space.parameters.items()
        }
        # Counted before any point is made: there may be billions.
        self.size = sum(math.prod(len(values) for values in axes) for _, axes in self._axes())
        if self.size > LARGEST:
            raise ConfigError(
                f"search.sampler: the grid has {self.size:,} points, more than {LARGEST:,};"
                " set fewer search.sampler_options.points, or use random or qmc"
            )

    def points(self, seed: int) -> list[dict[str, Any]]:
        """Return all points in an order drawn by ``seed``, so that a budget cuts off no corner."""
        found = [
            dict(zip(names, values, strict=True))
            for names, axes in self._axes()
            for values in product(*axes)
        ]
        # A budget below the size would otherwise cut off a corner of the space.
        Random(seed).shuffle(found)
        return found

    def _axes(self) -> Iterator[tuple[tuple[str, ...], list[Sequence[Any]]]]:
        """Yield for each branch its parameters and their values."""
        for branch in branches(self._space, self._scientific):
            if all(value in self.values[name] for name, value in branch.items()):
                names = self._space.active(branch)
                yield (
                    names,
                    [(branch[name],) if name in branch else self.values[name] for name in names],
                )


def _is_endless(parameter: Parameter) -> bool:
    if isinstance(parameter, Choice):
        return False
    if isinstance(parameter, Float):
        return parameter.step is None
    return (parameter.high - parameter.low) // (parameter.step or 1) >= _MANY


def _values(parameter: Parameter, points: int | None) -> Sequence[Any]:
    if isinstance(parameter, Choice):
        return parameter.choices
    steps = None
    if parameter.step is not None or isinstance(parameter, Int):
        steps = round((parameter.high - parameter.low) / (parameter.step or 1))
        if points is None or steps < points:  # all of its values
            return [_on(parameter, index) for index in range(steps + 1)]
    assert points is not None
    # Evenly from bound to bound, on a logarithmic scale if the parameter has one.
    shares = [index / (points - 1) for index in range(points)]
    if steps is None or parameter.log:
        found = [_between(parameter, share) for share in shares]
    else:
        found = [_on(parameter, round(share * steps)) for share in shares]
    if isinstance(parameter, Int):
        found = [round(value) for value in found]
    return sorted(set(found))


def _on(parameter: Float | Int, index: int) -> Any:
    """Return the value ``index`` steps above the lowest one, at most the highest."""
    value = parameter.low + index * (parameter.step or 1)
    return min(parameter.snapped(value) if isinstance(parameter, Float) else value, parameter.high)


def _between(parameter: Float | Int, share: float) -> Any:
    low, high = parameter.low, parameter.high
    if share in (0.0, 1.0):
        return high if share else low  # exactly
    if parameter.log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _listed(name: str, parameter: Parameter, values: Any) -> Sequence[Any]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{SOURCE}: {name} must be a list of values, but got {values!r}")
    listed: list[Any] = [
        parameter.snapped(float(v))
        if isinstance(parameter, Float) and type(v) in (int, float)
        else v
        for v in values
    ]
    for value in listed:
        if problem := parameter.problem(value):
            raise ConfigError(f"{SOURCE}: {name}: {problem}")
    if len({point_of({name: value}) for value in listed}) < len(listed):
        raise ConfigError(f"{SOURCE}: {name}: values must all be different, but got {values}")
    return listed
