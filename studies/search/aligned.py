"""One set of coordinates for all branches of a conditional space, so that one model sees all.

A model of one branch alone knows little: 60 trials in nine branches are six or seven each. Here
parameters of different branches share a coordinate, such as the learning rates of all optimizers,
each by its place in its own range. The choices that make the branches are coordinates, too, so a
model can learn how alike branches are.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from search_spaces.space import Choice, Parameter, Space, SpaceError
from studies.search.branches import branches, deciding
from studies.search.ranges import fraction_of, value_at


class Aligned:
    """Points of ``space`` as points of a space without conditions, and back.

    Attributes:
        coordinates: the space without conditions, as Optuna's distributions. A number is its place
            in its range, 0 to 1. A choice of numbers is a rank, another one an index.
    """

    def __init__(self, space: Space, scientific: str) -> None:
        self._space = space
        self._made = deciding(space, scientific)
        self._of: dict[str, str] = {}
        self.coordinates: dict[str, BaseDistribution] = {}
        together = [set(space.active(branch)) for branch in branches(space, scientific)]
        members: dict[str, list[str]] = {}
        for name, parameter in space.parameters.items():
            key = self._coordinate(name, parameter, members, together)
            members.setdefault(key, []).append(name)
            self._of[name] = key
            self.coordinates[key] = _distribution(parameter, ranked=name not in self._made)

    def place(self, params: Mapping[str, Any], chance: np.random.Generator) -> dict[str, Any]:
        """Return the coordinates of ``params``; those that it has not are random.

        No place of them looks unexplored then, and a model learns that they do nothing there.
        """
        found = {key: _random(one, chance) for key, one in self.coordinates.items()}
        for name in self._space.active(params):
            found[self._of[name]] = _placed(
                self._space.parameters[name], params[name], self.coordinates[self._of[name]]
            )
        return found

    def params(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return the point of the space that has the coordinates ``point``."""
        return self._space.walk(
            lambda name, parameter: _value(
                parameter, point[self._of[name]], self.coordinates[self._of[name]]
            )
        )

    def seen(self, trial: FrozenTrial, seed: int) -> FrozenTrial | None:
        """Return ``trial`` at its coordinates; None if its params are not a whole point."""
        try:
            self._space.check(trial.params)
        except SpaceError:
            return None
        shown = copy(trial)
        # Always the same for a trial, so that a resumed study proposes the same. Imported ones are
        # numbered below 0.
        chance = np.random.default_rng((seed, trial.number % (1 << 32)))
        shown.params, shown.distributions = self.place(trial.params, chance), self.coordinates
        if not trial.state.is_finished():
            shown.system_attrs = {}  # Optuna keeps there what was proposed, in other coordinates
        return shown

    def _coordinate(
        self,
        name: str,
        parameter: Parameter,
        members: Mapping[str, list[str]],
        together: list[set[str]],
    ) -> str:
        """Return the coordinate that ``name`` shares with others, or its own.

        Parameters that never exist together share one if they have the same form. Those that write
        the same setting come first.
        """
        ranked = name not in self._made
        fits = [
            key
            for key, others in members.items()
            if ranked
            and not any(other in self._made for other in others)
            and self.coordinates[key] == _distribution(parameter, ranked=ranked)
            and not any({name, other} <= branch for other in others for branch in together)
        ]
        setting = self._space.setting(name)
        same = (k for k in fits if setting in {self._space.setting(o) for o in members[k]})
        return next(same, next(iter(fits), name))


def _distribution(parameter: Parameter, *, ranked: bool) -> BaseDistribution:
    if not isinstance(parameter, Choice):
        return FloatDistribution(0.0, 1.0)
    last = len(parameter.choices) - 1
    if ranked and _numbers(parameter):
        return IntDistribution(0, last)
    return CategoricalDistribution(tuple(range(last + 1)))


def _numbers(parameter: Choice) -> bool:
    return all(type(choice) in (int, float) for choice in parameter.choices)


def _ordered(parameter: Choice, coordinate: BaseDistribution) -> list[Any]:
    choices = list(parameter.choices)
    return sorted(choices) if isinstance(coordinate, IntDistribution) else choices


def _random(coordinate: BaseDistribution, chance: np.random.Generator) -> Any:
    if isinstance(coordinate, FloatDistribution):
        return float(chance.random())
    if isinstance(coordinate, IntDistribution):
        return int(chance.integers(coordinate.high + 1))
    assert isinstance(coordinate, CategoricalDistribution)
    return int(chance.integers(len(coordinate.choices)))


def _placed(parameter: Parameter, value: Any, coordinate: BaseDistribution) -> Any:
    if isinstance(parameter, Choice):
        return _ordered(parameter, coordinate).index(value)
    return min(max(fraction_of(parameter, value), 0.0), 1.0)


def _value(parameter: Parameter, place: Any, coordinate: BaseDistribution) -> Any:
    if isinstance(parameter, Choice):
        return _ordered(parameter, coordinate)[place]
    return value_at(parameter, place)
