"""Regret of the configuration that a search picks for each choice: its definition and its loop.

Regret = (best attainable true value of a choice) - (true value of the configuration that the search
picked for it), in points of accuracy, mean over the choices. The search picks the full training
with the best value that it saw, which has noise; pruned trainings are not picked. The mean over
instances and seeds is the figure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simulated.instances import EPOCHS, Instance, Places

WORKERS = 2
STARTUP, WARMUP = 4, 3
"""Of the median pruner, as in ``studies/search/pruners.py``; each choice by itself."""


@dataclass(frozen=True)
class Tried:
    """A training that is over.

    Attributes:
        choice, point: what was trained.
        curve: accuracy after each epoch.
        full: whether it was trained to its end.
    """

    choice: int
    point: np.ndarray
    curve: np.ndarray
    full: bool

    @property
    def value(self) -> float:
        """The last accuracy."""
        return float(self.curve[-1])


Pending = Sequence[tuple[int, np.ndarray]]


class Chooser(Protocol):
    """A way to search: proposes trials one after the other."""

    def propose(
        self, number: int, tried: Sequence[Tried], pending: Pending
    ) -> tuple[int, np.ndarray]:
        """Return the choice and the point of trial ``number``; ``pending`` ones run."""
        ...


Make = Callable[[Places, int], Chooser]
"""Makes a chooser for a seed."""


def run(
    instance: Instance, places: Places, chooser: Chooser, seed: int, *, trials: int
) -> list[Tried]:
    """Search: the defaults first, unpruned, then what ``chooser`` proposes, two at a time."""
    chance = np.random.default_rng((seed, 3))
    tried: list[Tried] = []
    for first in range(0, trials, WORKERS):
        pending: list[tuple[int, np.ndarray]] = []
        for number in range(first, min(first + WORKERS, trials)):
            if number < len(places.names):
                pending.append((number, places.defaults[number]))
            else:
                pending.append(chooser.propose(number, tried, pending))
        for offset, (choice, point) in enumerate(pending):
            curve = instance.training(choice, point, chance)
            epochs = EPOCHS
            if first + offset >= len(places.names):
                epochs = _stopped_at(curve, [one for one in tried if one.choice == choice])
            tried.append(Tried(choice, point, curve[:epochs], epochs == EPOCHS))
    return tried


def _stopped_at(curve: np.ndarray, others: Sequence[Tried]) -> int:
    """Return the epoch at which the median pruner stops a training, or the last one."""
    if sum(one.full for one in others) < STARTUP:
        return EPOCHS
    for epoch in range(WARMUP, EPOCHS):
        at = [one.curve[epoch - 1] for one in others if len(one.curve) >= epoch]
        if curve[:epoch].max() < np.median(at):
            return epoch
    return EPOCHS


@dataclass(frozen=True)
class Figures:
    """What one search came to.

    Attributes:
        regret: mean over the choices, in points.
        worst: greatest regret of a choice, in points.
        top: the same if the better one, truly, of each choice's two best were picked.
        bound: the same if the truly best of all its full trainings were picked.
        right: whether the choice of the best picked configuration is that which is truly best when
            tuned to its best.
        winner: regret of the configuration that the whole search picked, in points.
        risk: probability that a fresh training of a picked configuration collapses, mean.
        epochs: trained in all.
        reached: trainings' worth of epochs until a full training is truly among the best 5 % of all
            random configurations of all choices; inf: never.
    """

    regret: float
    worst: float
    top: float
    bound: float
    right: float
    winner: float
    risk: float
    epochs: int
    reached: float


def figures(instance: Instance, tried: Sequence[Tried], target: float) -> Figures:
    """Judge a search; ``target`` is the true value that counts as one of the best 5 %."""
    true = np.array([instance.truth(one.choice, one.point[None])[0] for one in tried])
    spent = np.cumsum([len(one.curve) for one in tried])
    best = instance.best
    picked, two, bound, risk = [np.zeros(len(best)) for _ in range(4)]
    seen = np.zeros(len(best))
    for choice in range(len(best)):
        own = [i for i, one in enumerate(tried) if one.full and one.choice == choice]
        order = sorted(own, key=lambda i: -tried[i].value)
        seen[choice] = tried[order[0]].value
        picked[choice], two[choice] = true[order[0]], true[order[:2]].max()
        bound[choice] = true[own].max()
        risk[choice] = instance.risk(choice, tried[order[0]].point[None])[0]
    full = np.array([one.full for one in tried])
    hit = np.flatnonzero(full & (true >= target))
    winner = int(seen.argmax())
    return Figures(
        regret=100 * float((best - picked).mean()),
        worst=100 * float((best - picked).max()),
        top=100 * float((best - two).mean()),
        bound=100 * float((best - bound).mean()),
        right=float(winner == best.argmax()),
        winner=100 * float(best.max() - picked[winner]),
        risk=float(risk.mean()),
        epochs=int(spent[-1]),
        reached=spent[hit[0]] / EPOCHS if len(hit) else float("inf"),
    )
