"""What the optimizers minimize: two test functions, and the trainings of ``optim_search``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from simulated.instances import EPOCHS, Drawn, Instance, Places, Smoothed
from simulated.table import Table

from search_spaces.space import Choice, Float, Space

Params = Mapping[str, Any]
COMPARED = "function"
"""A choice of one value: a study of this project compares something."""


class Problem(Protocol):
    """A function of a space's points.

    Attributes:
        space, scientific: as of a study.
        epochs: of a full evaluation.
        prior: a point that somebody without knowledge of this problem would begin with.
    """

    space: Space
    scientific: str
    epochs: int
    prior: Params | None

    def loss(self, params: Params, epochs: int, name: str = "") -> float:
        """Return what is seen after ``epochs`` of an evaluation; smaller is better.

        Evaluations of the same ``name`` are one that is continued.
        """
        ...

    def regret(self, params: Params) -> float:
        """Return how much the true value of ``params`` is above the least one, >= 0."""
        ...


@dataclass(frozen=True)
class _Function(ABC):
    space: Space
    least: float
    scientific: str = COMPARED
    epochs: int = 1
    prior: None = None

    @abstractmethod
    def value(self, x: np.ndarray) -> float:
        """Return the function's value at ``x``."""

    def loss(self, params: Params, epochs: int, name: str = "") -> float:
        """Return the function's value."""
        names = [name for name in self.space.parameters if name != COMPARED]
        return self.value(np.array([params[name] for name in names]))

    def regret(self, params: Params) -> float:
        """Return what the value is above the minimum."""
        return self.loss(params, 1) - self.least


class Branin(_Function):
    """Branin: two numbers, three equal minima, no noise."""

    def __init__(self) -> None:
        space = Space(
            {COMPARED: Choice(("branin",)), "x": Float(-5.0, 10.0), "y": Float(0.0, 15.0)}
        )
        super().__init__(space, 0.397887)

    def value(self, x: np.ndarray) -> float:
        """Return the function's value."""
        first, second = x
        bent = second - 5.1 / (4 * np.pi**2) * first**2 + 5 / np.pi * first - 6
        return float(bent**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(first) + 10)


class Hartmann(_Function):
    """Hartmann's function of six numbers in the unit cube, four peaks, no noise."""

    ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
    A = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    P = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )

    def __init__(self) -> None:
        numbers = {f"x{at}": Float(0.0, 1.0) for at in range(6)}
        super().__init__(Space({COMPARED: Choice(("hartmann6",)), **numbers}), -3.322368)

    def value(self, x: np.ndarray) -> float:
        """Return the function's value."""
        far = (self.A * (x - self.P) ** 2).sum(axis=1)
        return float(-(self.ALPHA * np.exp(-far)).sum())


class Trainings:
    """``optim_search``: nine optimizers with four or five parameters each, mixed, with seed noise.

    The loss is the validation error of one training, in points. The regret is that of the true
    value, the mean over seeds, to the best attainable one of all optimizers.

    Args:
        seed: of the trainings' noise.
    """

    epochs = EPOCHS

    def __init__(self, instance: Instance, places: Places, seed: int) -> None:
        self.space, self.scientific = places.space, places.scientific
        self._instance, self._places = instance, places
        self._chance = np.random.default_rng((seed, 4))
        self._curves: dict[str, np.ndarray] = {}

    @property
    def prior(self) -> Params:
        """Torch's Adam as it comes, with a middle value for what Adam does not have."""
        found = self._places.params(self._places.names.index("adam"), self._places.defaults[3])
        return {
            name: found.get(name, self._middle(parameter))
            for name, parameter in self.space.parameters.items()
        }

    def loss(self, params: Params, epochs: int, name: str = "") -> float:
        """Return the error after ``epochs``, in points; a training that has a name is kept."""
        curve = self._curves.get(name)
        if curve is None:
            curve = self._instance.training(*self._places.place(params), self._chance)
        if name:
            self._curves[name] = curve
        return 100 * float(1 - curve[epochs - 1])

    def regret(self, params: Params) -> float:
        """Return the true points that are missing to the best attainable accuracy."""
        choice, point = self._places.place(params)
        true = self._instance.truth(choice, point[None])[0]
        return max(0.0, 100 * float(self._instance.best.max() - true))

    @staticmethod
    def _middle(parameter: Any) -> Any:
        if isinstance(parameter, Choice):
            return parameter.choices[0]
        if parameter.log:
            return float(np.sqrt(parameter.low * parameter.high))
        return (parameter.low + parameter.high) / 2


PROBLEMS = ("branin", "hartmann6", "table", "drawn")
"""The last two are ``optim_search``: recorded trainings, smoothed; another drawn one a seed."""


def problem(name: str, seed: int, table: Table, places: Places) -> Problem:
    """Return the problem ``name`` for one seed."""
    if name == "branin":
        return Branin()
    if name == "hartmann6":
        return Hartmann()
    instance = Smoothed(table, places) if name == "table" else Drawn(places, seed)
    return Trainings(instance, places, seed)
