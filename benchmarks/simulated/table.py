"""Recorded trainings of a study's space, and what a proposal that is none of them is taken for."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.space import Choice, Float, Int, Parameter, Space
from studies.search.branches import deciding


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One training that was run to its end, or until it failed.

    Attributes:
        params: a point of the space.
        curve: the metric after each epoch; shorter than the budget if the training failed.
        default: whether it is a choice's default configuration; the others were drawn at random.
    """

    params: Mapping[str, Any]
    curve: tuple[float, ...]
    default: bool = False


@dataclass(frozen=True)
class Table:
    """Recorded trainings, and the curve that stands for any point of the space.

    Attributes:
        space: of the study.
        scientific: the parameter that the study compares.
        epochs: of a training.
        rows: the trainings.
        how: how they were made, in plain JSON values.
        neighbours: a point's curve is the mean of so many of the nearest rows' curves.
    """

    space: Space
    scientific: str
    epochs: int
    rows: Sequence[Recorded]
    how: Mapping[str, Any] = field(default_factory=dict)
    neighbours: int = 1

    @cached_property
    def _branches(self) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
        """Indices of the rows of each branch, and their places in its unit cube."""
        grouped: dict[Any, list[int]] = {}
        for index, row in enumerate(self.rows):
            grouped.setdefault(self._branch(row.params), []).append(index)
        return {
            branch: (np.array(found), np.array([self._place(self.rows[i].params) for i in found]))
            for branch, found in grouped.items()
        }

    def nearest(self, params: Mapping[str, Any]) -> list[int]:
        """Return the indices of the ``neighbours`` rows that lie nearest to ``params``.

        Only rows of the same branch (the same optimizer) count. Distances are Euclidean in the unit
        cube: a number by its place in its range (on its own, perhaps logarithmic scale), a choice
        of numbers by its rank; two different values of any other choice are 1 apart. Of equally
        near rows the earlier ones count.

        Raises:
            KeyError: nothing was recorded of that branch.
        """
        indices, places = self._branches[self._branch(params)]
        distances = ((places - self._place(params)) ** 2).sum(axis=1)
        return [int(i) for i in indices[np.argsort(distances, kind="stable")[: self.neighbours]]]

    def curve(self, params: Mapping[str, Any]) -> tuple[float, ...]:
        """Return the metric after each epoch that a training of ``params`` is taken to have.

        Where the nearest row failed, so does the training; else the mean of those that did not.
        """
        curves = [self.rows[index].curve for index in self.nearest(params)]
        if len(curves[0]) < self.epochs:
            return curves[0]
        return tuple(np.mean([c for c in curves if len(c) == self.epochs], axis=0).tolist())

    def percentile(self, percent: float, choice: Any = None) -> float:
        """Return the least final value above those of ``percent`` % of the random configurations.

        With one neighbour these are the rows that are no defaults, else 4,000 random points. A
        failed training counts as the worst.

        Args:
            percent: 0 to 100.
            choice: count those of this value of the scientific parameter only; None: all.
        """
        if self.neighbours == 1:
            of_all = [(row.params, row.curve) for row in self.rows if not row.default]
        else:
            of_all = self._drawn
        finals = [
            self._final(curve)
            for params, curve in of_all
            if choice in (None, params[self.scientific])
        ]
        return float(np.percentile(finals, percent, method="higher"))

    def share(self, value: float) -> float:
        """Return the share of 4,000 random points whose final value is ``value`` or better."""
        return float(np.mean([self._final(curve) >= value for _, curve in self._drawn]))

    @cached_property
    def _drawn(self) -> list[tuple[dict[str, Any], tuple[float, ...]]]:
        chance = np.random.default_rng(0)
        points = (self.space.walk(lambda _, p: _draw(p, chance)) for _ in range(4000))
        return [(point, self.curve(point)) for point in points]

    def _final(self, curve: tuple[float, ...]) -> float:
        return curve[-1] if len(curve) == self.epochs else -np.inf

    def _branch(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(params.get(name) for name in deciding(self.space, self.scientific))

    def _place(self, params: Mapping[str, Any]) -> list[float]:
        branch = deciding(self.space, self.scientific)
        return [
            coordinate
            for name in self.space.active(params)
            if name not in branch
            for coordinate in _coordinates(self.space.parameters[name], params[name])
        ]


def save(table: Table, file: Path) -> None:
    """Write ``table`` to ``file``, a training a line; curves to five digits."""
    lines = [
        json.dumps(
            {
                "params": dict(row.params),
                "curve": [round(value, 5) for value in row.curve],
                **({"default": True} if row.default else {}),
            },
            separators=(",", ":"),
        )
        for row in table.rows
    ]
    how = json.dumps({**table.how, "epochs": table.epochs}, indent=1)
    rows = ",\n".join(lines)
    file.write_text(f'{{"how": {how},\n"rows": [\n{rows}\n]}}\n', encoding="utf-8")


def load(file: Path, space: Space, scientific: str, *, neighbours: int = 1) -> Table:
    """Read what ``save`` wrote.

    Args:
        file: where to.
        space: of the study.
        scientific: the parameter that it compares.
        neighbours: see ``Table``.

    Raises:
        SpaceError: a recorded training is no point of ``space``: the study has changed since.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = []
    for row in content["rows"]:
        space.check(row["params"])
        curve, default = tuple(row["curve"]), row.get("default", False)
        rows.append(Recorded(params=row["params"], curve=curve, default=default))
    how = dict(content["how"])
    return Table(space, scientific, how.pop("epochs"), rows, how, neighbours)


def _coordinates(parameter: Parameter, value: Any) -> list[float]:
    if isinstance(parameter, Float | Int):
        low, high, at = parameter.low, parameter.high, value
        if parameter.log:
            low, high, at = np.log(low), np.log(high), np.log(at)
        return [float((at - low) / (high - low))]
    assert isinstance(parameter, Choice)
    choices = parameter.choices
    if all(isinstance(choice, int | float) for choice in choices):
        return [sorted(choices).index(value) / max(1, len(choices) - 1)]  # type: ignore[type-var]
    return [0.5**0.5 * (choice == value) for choice in choices]


def _draw(parameter: Parameter, chance: np.random.Generator) -> Any:
    if isinstance(parameter, Choice):
        return parameter.choices[chance.integers(len(parameter.choices))]
    assert isinstance(parameter, Float) and parameter.step is None
    if parameter.log:
        return math.exp(chance.uniform(math.log(parameter.low), math.log(parameter.high)))
    return chance.uniform(parameter.low, parameter.high)
