"""The ways to search that are compared by regret; each proposes points of ``optim_search``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm, qmc, rankdata

from simulated.instances import DECAYS, SCHEDULES, Places, spread
from simulated.regret import Chooser, Pending, Tried

TURNS = 5
"""Trials of each choice, its default among them, before the free ones."""


def fewest(tried: Sequence[Tried], pending: Pending, choices: int) -> int:
    """Return the choice that has the fewest trials, the first of several."""
    counts = np.zeros(choices, int)
    for one in tried:
        counts[one.choice] += 1
    for choice, _ in pending:
        counts[choice] += 1
    return int(counts.argmin())


Free = Callable[[np.random.Generator, Sequence[Tried], Pending, int], int]


def even(chance: np.random.Generator, tried: Sequence[Tried], pending: Pending, n: int) -> int:
    """Give a free trial to the choice with the fewest."""
    return fewest(tried, pending, n)


def anyone(chance: np.random.Generator, tried: Sequence[Tried], pending: Pending, n: int) -> int:
    """Give a free trial to a random choice."""
    return int(chance.integers(n))


def in_race(chance: np.random.Generator, tried: Sequence[Tried], pending: Pending, n: int) -> int:
    """Give a free trial to the one with the fewest trials of the half with the best values."""
    best = [max(one.value for one in tried if one.choice == c and one.full) for c in range(n)]
    counts = np.zeros(n, int)
    for choice in [*(one.choice for one in tried), *(c for c, _ in pending)]:
        counts[choice] += 1
    half = np.argsort(best)[::-1][: (n + 1) // 2]
    return int(min(half, key=lambda choice: counts[choice]))


class Turns(Chooser):
    """The turns, then free trials, with a proposal within the choice."""

    def __init__(self, places: Places, seed: int, free: Free, turns: int = TURNS) -> None:
        self.places, self.seed, self.free, self.turns = places, seed, free, turns
        self.n = len(places.names)
        self.chance = np.random.default_rng((seed, 1))

    def propose(
        self, number: int, tried: Sequence[Tried], pending: Pending
    ) -> tuple[int, np.ndarray]:
        """Return the choice and the point of the next trial."""
        choice = number % self.n
        if number >= self.turns * self.n:
            choice = self.free(self.chance, tried, pending, self.n)
        return choice, self.point(choice, tried, pending)

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
        """Return the next point of ``choice``."""
        raise NotImplementedError


class Random(Turns):
    """Draws every coordinate."""

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
        """Return the next point of ``choice``."""
        return spread(1, bool(self.places.two[choice]), self.chance)[0]


class Quasi(Turns):
    """A scrambled sequence for each choice; the schedules and decays by chance, or balanced."""

    def __init__(
        self,
        *args: Any,
        kind: str = "sobol",
        balanced: bool = True,
        screen: int = 0,
        decay: bool = False,
        shrink: float = 1.0,
        after: int = 4,
        **kw: Any,
    ) -> None:
        super().__init__(*args, **kw)
        self._shrink, self._after = shrink, after
        self._balanced, self._screen, self._decay = balanced, screen, decay
        self._made = []
        for choice in range(self.n):
            seed = np.random.default_rng((self.seed, 2, choice))
            if kind == "lhs":
                cubes = qmc.LatinHypercube(4, rng=seed)
                points = np.concatenate([cubes.random(4) for _ in range(15)])
            else:
                make = qmc.Sobol if kind == "sobol" else qmc.Halton
                points = make(4, scramble=True, rng=seed).random(64)
            points[:, 3] = np.floor(points[:, 3] * SCHEDULES)
            points[:, 2] = np.floor(points[:, 2] * DECAYS) / (DECAYS - 1)
            if not self.places.two[choice]:
                points[:, 1] = 0.5
            self._made.append(iter(points))
        self._order = self.chance.permutation(SCHEDULES)

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
        """Return the next point of ``choice``."""
        point = next(self._made[choice])
        if not self._balanced:
            return point
        own = [one.point for one in tried if one.choice == choice]
        own += [other for c, other in pending if c == choice]
        point[3] = self._rarest([p[3] for p in own], np.arange(SCHEDULES), choice)
        point[2] = self._rarest([p[2] for p in own], np.arange(DECAYS) / (DECAYS - 1), choice)
        if self._screen and len(own) > self._screen:
            point[3] = leading(tried, self.n)
            if self._decay:
                point[2] = leading(tried, self.n, 2)
        if self._shrink < 1 and len(own) >= self._after:
            best = max((o for o in tried if o.choice == choice and o.full), key=lambda o: o.value)
            half = self._shrink / 2
            middle = np.clip(best.point[:2], half, 1 - half)
            point[:2] = middle + self._shrink * (point[:2] - 0.5)
            if not self.places.two[choice]:
                point[1] = 0.5
        return point

    def _rarest(self, had: list[float], values: np.ndarray, choice: int) -> float:
        counts = np.array([np.isclose(had, value).sum() for value in values])
        # Which comes first differs by choice, so that each round has all values.
        shift = (np.arange(len(values)) + choice + self.seed) % len(values)
        return float(values[np.lexsort((shift, counts))[0]])


def leading(tried: Sequence[Tried], n: int, at: int = 3) -> float:
    """Return the schedule that leads over all choices, by ranks within each choice."""
    scores: dict[float, list[float]] = {}
    for choice in range(n):
        own = [one for one in tried if one.choice == choice]
        ranks = rankdata([one.value for one in own]) / (len(own) + 1)
        for one, rank in zip(own, ranks, strict=True):
            scores.setdefault(float(one.point[at]), []).append(ndtri(rank))
    return max(scores, key=lambda schedule: np.mean(scores[schedule]))


class Shared(Turns):
    """A Gaussian process over all choices: what is shared is learned together."""

    def __init__(
        self,
        *args: Any,
        startup: int = 0,
        own: float = 0.7,
        schedule: float = 0.3,
        rate: float = 0.2,
        branch: float = 0.2,
        noise: float = 0.1,
        lengths: tuple[float, float, float] = (0.3, 0.7, 1.5),
        alike: float = 0.5,
        how: str = "ei",
        candidates: int = 256,
        screened: bool = False,
        **kw: Any,
    ) -> None:
        super().__init__(*args, **kw)
        self._parts = (own, schedule, rate, branch, noise)
        self._lengths, self._alike, self._how = np.array(lengths), alike, how
        self._candidates, self._startup, self._screened = candidates, startup, screened
        self._first = Quasi(self.places, self.seed, self.free, balanced=True)

    def kernel(self, c: np.ndarray, x: np.ndarray, d: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the covariances of points of choices ``c`` and ``d``."""
        own, schedule, rate, branch, _ = self._parts
        same, plan = c[:, None] == d[None], x[:, None, 3] == z[None, :, 3]
        apart = x[:, None, :3] - z[None, :, :3]
        far = ((apart / self._lengths) ** 2).sum(axis=2)
        by_rate = np.exp(-0.5 * (apart[:, :, 0] / 0.3) ** 2)
        alike = self._alike + (1 - self._alike) * plan
        found = same * (branch + own * np.exp(-0.5 * far) * alike)
        return found + schedule * plan + rate * by_rate

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
        """Return the next point of ``choice``."""
        own = sum(one.choice == choice for one in tried) + sum(c == choice for c, _ in pending)
        if own < self._startup:
            return self._first.point(choice, tried, pending)
        c, x, y = self._data(tried)
        drawn = spread(self._candidates, bool(self.places.two[choice]), self.chance)
        if self._screened:
            drawn[:, 3] = leading(tried, self.n)
        pc = np.array([one for one, _ in pending], int)
        px = np.array([one for _, one in pending]).reshape(-1, 4)
        mean, spread_, _ = self.posterior(c, x, y, pc, px, choice, drawn)
        at = np.flatnonzero(c == choice)
        known, _, _ = self.posterior(c, x, y, pc, px, choice, x[at])
        best = known.max()
        if self._how == "ei":
            z = (mean - best) / spread_
            gain = (mean - best) * norm.cdf(z) + spread_ * norm.pdf(z)
        else:
            gain = mean + float(self._how) * spread_
        return drawn[int(np.argmax(gain))]

    def posterior(
        self, c: np.ndarray, x: np.ndarray, y: np.ndarray, pc: np.ndarray, px: np.ndarray,
        choice: int, at: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, None]:  # fmt: skip
        """Return mean and deviation of the points ``at`` of ``choice``."""
        noise = self._parts[-1]
        ac = np.full(len(at), choice)
        k = self.kernel(c, x, c, x) + noise * np.eye(len(c))
        mean = self.kernel(ac, at, c, x) @ np.linalg.solve(k, y)
        # Running trials take away what is open around them; they have no value yet.
        bc, bx = np.concatenate([c, pc]), np.concatenate([x, px])
        k = self.kernel(bc, bx, bc, bx) + noise * np.eye(len(bc))
        cross = self.kernel(ac, at, bc, bx)
        own, schedule, rate, branch, _ = self._parts
        prior = own + schedule + rate + branch
        left = prior - (cross * np.linalg.solve(k, cross.T).T).sum(axis=1)
        return mean, np.sqrt(np.maximum(left, 1e-9)), None

    def _data(self, tried: Sequence[Tried]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        c = np.array([one.choice for one in tried])
        x = np.array([one.point for one in tried])
        values = np.array([one.value for one in tried])
        return c, x, ndtri(rankdata(values) / (len(values) + 1))
