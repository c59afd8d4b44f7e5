"""What the regret of a choice is measured on: the recorded table, smoothed, and drawn instances.

Both know the true value of every point of ``optim_search``'s space, and what one training shows of
it. A point is a choice's index and four coordinates: the learning rate and the second number, each
by its place in its range (0.5 where an optimizer has no second number), the weight decay by its
rank (0 to 1), and the schedule's index.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

from search_spaces.space import Choice, Float, Space
from simulated.table import Table

DECAYS, SCHEDULES, EPOCHS = 4, 3, 6
GRID = 4096
"""Random points of a choice among which the best attainable value is looked for."""
COLLAPSED = np.log(0.89)
"""Log error of a network that gives one answer to all images."""
NOISE = np.array([0.25, 0.14, 0.14])
"""Seed noise of a training's log error, by schedule: .45, .25 and .25 points at 98.2 %."""
EARLY = np.array(
    [
        [1.42, 0.69, 0.42, 0.28, 0.20, 0.0],
        [1.51, 0.91, 0.48, 0.13, 0.03, 0.0],
        [2.36, 1.58, 0.84, 0.35, 0.04, 0.0],
    ]
)
"""How far a training's log error is above its last one, by schedule and epoch; of the table."""
SPREAD = np.array(
    [
        [0.48, 0.53, 0.48, 0.45, 0.40, 0.0],
        [0.59, 0.56, 0.50, 0.14, 0.06, 0.0],
        [0.61, 0.76, 0.60, 0.39, 0.08, 0.0],
    ]
)
"""Standard deviation of that."""


class Instance(Protocol):
    """A problem: nine choices, the true value of each point, and what a training shows."""

    @property
    def best(self) -> np.ndarray:
        """The best attainable true value of each choice."""
        ...

    def truth(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return the true accuracy of ``points`` [n, 4] of ``choice``: the mean over seeds."""
        ...

    def risk(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return the probability that a training of ``points`` [n, 4] collapses."""
        ...

    def training(self, choice: int, point: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """Return the accuracy after each epoch of one training of ``point``."""
        ...


class Places:
    """Points of ``optim_search``'s space as coordinates, and back."""

    def __init__(self, space: Space, scientific: str, defaults: Mapping[str, Any]) -> None:
        self.space, self.scientific = space, scientific
        compared, schedules = space.parameters[scientific], space.parameters["schedule.name"]
        assert isinstance(compared, Choice)
        assert isinstance(schedules, Choice)
        self.names = [str(name) for name in compared.choices]
        self._schedules = list(schedules.choices)
        self._own = []
        for name in self.names:
            rest = [n for n in space.active({scientific: name}) if n != scientific]
            numbers = [n for n in rest if isinstance(space.parameters[n], Float)]
            [decay] = [n for n in rest if n not in numbers and n != "schedule.name"]
            self._own.append((numbers, decay))
        self.two = np.array([len(numbers) == 2 for numbers, _ in self._own])
        self.defaults = [self.place(defaults[name])[1] for name in self.names]

    def place(self, params: Mapping[str, Any]) -> tuple[int, np.ndarray]:
        """Return the choice and the coordinates of ``params``."""
        choice = self.names.index(params[self.scientific])
        numbers, decay = self._own[choice]
        found = [self._unit(name, params[name]) for name in numbers] + [0.5] * (2 - len(numbers))
        ranks = self.space.parameters[decay]
        assert isinstance(ranks, Choice)
        rank = ranks.choices.index(params[decay]) / (DECAYS - 1)
        return choice, np.array([*found, rank, self._schedules.index(params["schedule.name"])])

    def params(self, choice: int, point: np.ndarray) -> dict[str, Any]:
        """Return what ``place`` takes."""
        numbers, decay = self._own[choice]
        ranks = self.space.parameters[decay]
        assert isinstance(ranks, Choice)
        found: dict[str, Any] = {self.scientific: self.names[choice]}
        for name, unit in zip(numbers, point, strict=False):
            found[name] = self._value(name, unit)
        found[decay] = ranks.choices[round(point[2] * (DECAYS - 1))]
        found["schedule.name"] = self._schedules[int(point[3])]
        return found

    def _unit(self, name: str, value: float) -> float:
        low, high = self._ends(name)
        at = np.log(value) if self._log(name) else value
        return float((at - low) / (high - low))

    def _value(self, name: str, unit: float) -> float:
        low, high = self._ends(name)
        at = low + unit * (high - low)
        parameter = self.space.parameters[name]
        assert isinstance(parameter, Float)
        value = float(np.exp(at)) if self._log(name) else float(at)
        return min(max(value, parameter.low), parameter.high)

    def _log(self, name: str) -> bool:
        parameter = self.space.parameters[name]
        return isinstance(parameter, Float) and parameter.log

    def _ends(self, name: str) -> tuple[float, float]:
        parameter = self.space.parameters[name]
        assert isinstance(parameter, Float)
        ends = (parameter.low, parameter.high)
        return (float(np.log(ends[0])), float(np.log(ends[1]))) if parameter.log else ends


def spread(n: int, two: bool, chance: np.random.Generator) -> np.ndarray:
    """Return ``n`` random points of a choice, which has a second number if ``two``."""
    points = chance.random((n, 4))
    if not two:
        points[:, 1] = 0.5
    points[:, 2] = np.floor(points[:, 2] * DECAYS) / (DECAYS - 1)
    points[:, 3] = np.floor(points[:, 3] * SCHEDULES)
    return points


class Smoothed:
    """The recorded table. True is the mean of the 5 nearest rows of the same optimizer.

    The mean is one of log errors, so that a collapsed neighbour does not outweigh four good ones.
    A training shows the mean curve, with seed noise on the log error of every epoch.
    """

    NEAREST = 5

    def __init__(self, table: Table, places: Places) -> None:
        self._rows: list[tuple[np.ndarray, np.ndarray]] = []
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in places.names]
        for row in table.rows:
            choice, point = places.place(row.params)
            curve = np.array(row.curve)
            if len(curve) < EPOCHS:  # failed
                curve = np.full(EPOCHS, 1 - np.exp(COLLAPSED))
            found[choice].append((point, np.log1p(-curve)))
        for rows in found:
            self._rows.append((np.array([r[0] for r in rows]), np.array([r[1] for r in rows])))
        self._places = places

    @cached_property
    def best(self) -> np.ndarray:
        """The best of ``GRID`` random points of each choice."""
        chance = np.random.default_rng(0)
        drawn = [spread(GRID, bool(two), chance) for two in self._places.two]
        return np.array([self.truth(c, points).max() for c, points in enumerate(drawn)])

    def truth(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return the smoothed final accuracy."""
        return 1 - np.exp(self._curves(choice, points)[:, -1])

    def risk(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return zeros: the table has one training a point, so a collapse is part of the value."""
        return np.zeros(len(points))

    def training(self, choice: int, point: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """Return the smoothed curve with noise."""
        noise = NOISE[int(point[3])] * chance.standard_normal(EPOCHS)
        return 1 - np.exp(np.minimum(self._curves(choice, point[None])[0] + noise, COLLAPSED))

    def _curves(self, choice: int, points: np.ndarray) -> np.ndarray:
        at, errors = self._rows[choice]
        apart = ((points[:, None, :3] - at[None, :, :3]) ** 2).sum(axis=2)
        apart += points[:, None, 3] != at[None, :, 3]
        nearest = np.argsort(apart, axis=1, kind="stable")[:, : self.NEAREST]
        return errors[nearest].mean(axis=1)


class Drawn:
    """An instance from a generator that was fitted to the table.

    The log error of choice c is a bowl around its own best rate, steeper above than below, with the
    rate's best place depending on the schedule (a one-cycle peaks at its rate, so it wants a higher
    one) and on the second number (momentum multiplies the rate). To it come the second number's own
    bowl, the weight decay, the schedule, and a smooth rest. Its coefficients are drawn from normal
    distributions whose means and deviations are those of the nine least-squares fits to the
    recorded trainings (residuals: .10 to .24 of log error, .1 to .4 points, where it is good).
    About half the choices collapse above some rate, with the probability of a logistic function.
    """

    MEANS = np.array([-3.71, -0.13, -0.44, 0.53, 0.24, 0.83, 1.59, 0.21, -0.6, 0.49, 0.1])
    DEVIATIONS = np.array([0.15, 0.1, 0.13, 0.24, 0.12, 0.34, 0.6, 0.19, 0.21, 0.18, 0.08])
    ROUGH, FEATURES = 0.08, 32
    """Deviation of the smooth rest, and its random cosines (Rahimi and Recht, 2007)."""

    def __init__(self, places: Places, seed: int, *, alike: bool = True) -> None:
        """``alike``: False: what suits one choice says nothing of another."""
        chance = np.random.default_rng((seed, 17))
        self._places = places
        n = len(places.names)
        own = chance.standard_normal((n, len(self.MEANS)))
        common = chance.standard_normal(2)
        own[:, 1:3] = 0.5**0.5 * (common + own[:, 1:3])
        self._at = self.MEANS + self.DEVIATIONS * own
        if not alike:
            self._at[:, 1:3] = 0.35 * own[:, 1:3]
            self._at[:, 3] = chance.uniform(0.1, 0.95, n)
        self._at[:, 3] = np.clip(self._at[:, 3], 0.1, 0.95)
        collapses = chance.random(n) < 0.45
        self._cliff = np.where(collapses, self._at[:, 3] + chance.uniform(0.15, 0.5, n), 9.0)
        self._waves = chance.normal(0, 2.0, (n, self.FEATURES, 6))
        self._phases = chance.uniform(0, 2 * np.pi, (n, self.FEATURES))

    @cached_property
    def best(self) -> np.ndarray:
        """The best of ``GRID`` random points of each choice that collapse in < 5 % of trainings."""
        chance = np.random.default_rng(0)
        drawn = [spread(GRID, bool(two), chance) for two in self._places.two]
        return np.array(
            [
                self.truth(c, points)[self.risk(c, points) < 0.05].max()
                for c, points in enumerate(drawn)
            ]
        )

    def truth(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return the accuracy without seed noise of trainings that do not collapse."""
        return 1 - np.exp(self._errors(choice, points)[0])

    def risk(self, choice: int, points: np.ndarray) -> np.ndarray:
        """Return the probability that a training collapses."""
        return self._errors(choice, points)[1]

    def training(self, choice: int, point: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """Return one curve: it tells little of its end until the last epochs."""
        error, collapsed = self._errors(choice, point[None])
        if chance.random() < collapsed[0]:
            return np.full(EPOCHS, 1 - np.exp(COLLAPSED))
        schedule = int(point[3])
        late = error[0] + NOISE[schedule] * chance.standard_normal()
        early = EARLY[schedule] + SPREAD[schedule] * chance.standard_normal(EPOCHS)
        return 1 - np.exp(np.minimum(late + early, COLLAPSED))

    def _errors(self, choice: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best, cosine, cycle, place, later, below, above, joint, bowl, middle, decay = self._at[
            choice
        ]
        rate, second, rank, schedule = points.T
        at = rate + joint * (second - 0.5)
        off = at - (place + later * schedule / 2)
        error = best + np.array([0.0, cosine, cycle])[schedule.astype(int)] + decay * rank**3
        error += off**2 * np.where(off < 0, np.exp(below), np.exp(above))
        error += np.exp(bowl) * (second - middle) ** 2 * self._places.two[choice]
        one_hot = np.eye(SCHEDULES)[schedule.astype(int)] / 2
        inside = np.concatenate([points[:, :3], one_hot], axis=1)
        waves = np.cos(inside @ self._waves[choice].T + self._phases[choice])
        error += self.ROUGH * (2 / self.FEATURES) ** 0.5 * waves.sum(axis=1)
        collapsed = expit((at - self._cliff[choice]) / 0.02)
        return np.minimum(error, COLLAPSED), collapsed
