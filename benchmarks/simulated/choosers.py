"""The ways to search that are compared by regret; each proposes points of ``optim_search``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from scipy.special import ndtri
from scipy.stats import norm, qmc, rankdata

from simulated.instances import DECAYS, SCHEDULES, Places, spread
from simulated.regret import Chooser, Make, Pending, Tried
from studies.core.seeds import sampler_seed
from studies.search.branch_sampler import BranchSampler
from studies.search.branches import Search
from studies.search.optuna_bridge import suggest
from studies.search.samplers import create_sampler

TURNS = 5
"""Trials of each choice, its default among them, before the free ones."""


class Product(Chooser):
    """This project's own sampler, under the turns; the free trials are its own, too."""

    def __init__(
        self,
        places: Places,
        seed: int,
        name: str,
        *,
        make: Callable[[Search, int], Any] | None = None,
        free: str = "own",
    ) -> None:
        self._places, self._seed, self._name, self._free = places, seed, name, free
        self._make = make
        self._search = Search(
            space=places.space, scientific=places.scientific, seed=seed, trials=60, workers=2,
            prunes=True,
        )  # fmt: skip
        self._study = optuna.create_study(direction="maximize")
        self._open: list[optuna.Trial] = []
        self._told = 0

    def propose(
        self, number: int, tried: Sequence[Tried], pending: Pending
    ) -> tuple[int, np.ndarray]:
        self._tell(tried)
        for choice, point in pending[len(self._open) :]:
            self._ask(self._places.params(choice, point))
        required: dict[str, Any] = {}
        names = self._places.names
        if number < TURNS * len(names):
            required = {self._places.scientific: names[number % len(names)]}
        elif self._free == "even":
            required = {self._places.scientific: names[fewest(tried, pending, len(names))]}
        seed = sampler_seed(self._seed, number)
        self._study.sampler = (
            self._make(self._search, seed)
            if self._make
            else create_sampler(self._name, {}, self._search, seed=seed)
        )
        return self._places.place(self._ask(required))

    def _ask(self, required: dict[str, Any]) -> dict[str, Any]:
        self._study.enqueue_trial(required) if required else None
        trial = self._study.ask()
        self._open.append(trial)
        return suggest(self._places.space, trial)

    def _tell(self, tried: Sequence[Tried]) -> None:
        for one in tried[self._told :]:
            if not self._open:
                self._ask(self._places.params(one.choice, one.point))
            trial = self._open.pop(0)
            for epoch, value in enumerate(one.curve, 1):
                trial.report(value, epoch)
            if one.full:
                self._study.tell(trial, one.value)
            else:
                self._study.tell(trial, state=TrialState.PRUNED)
        self._told = len(tried)


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
        choice = number % self.n
        if number >= self.turns * self.n:
            choice = self.free(self.chance, tried, pending, self.n)
        return choice, self.point(choice, tried, pending)

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
        raise NotImplementedError


class Random(Turns):
    """Draws every coordinate."""

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
        return spread(1, bool(self.places.two[choice]), self.chance)[0]


class Sequence_(Turns):
    """A scrambled sequence for each choice; the schedules and decays by chance, or balanced."""

    def __init__(
        self, *args: Any, kind: str = "sobol", balanced: bool = True, screen: int = 0, decay: bool = False, **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        self._balanced, self._screen, self._decay = balanced, screen, decay
        self._made = []
        for choice in range(self.n):
            seed = np.random.default_rng((self.seed, 2, choice))
            if kind == "lhs":
                points = np.concatenate([qmc.LatinHypercube(4, rng=seed).random(4) for _ in range(15)])
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
    return max(scores, key=lambda schedule: np.mean(scores[schedule]) )


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
        self._first = Sequence_(self.places, self.seed, self.free, balanced=True)

    def kernel(
        self, c: np.ndarray, x: np.ndarray, d: np.ndarray, z: np.ndarray
    ) -> np.ndarray:
        own, schedule, rate, branch, _ = self._parts
        same, plan = c[:, None] == d[None], x[:, None, 3] == z[None, :, 3]
        apart = x[:, None, :3] - z[None, :, :3]
        far = ((apart / self._lengths) ** 2).sum(axis=2)
        by_rate = np.exp(-0.5 * (apart[:, :, 0] / 0.3) ** 2)
        alike = self._alike + (1 - self._alike) * plan
        found = same * (branch + own * np.exp(-0.5 * far) * alike)
        return found + schedule * plan + rate * by_rate

    def point(self, choice: int, tried: Sequence[Tried], pending: Pending) -> np.ndarray:
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


class Then(Chooser):
    """One way for the turns, another for the free trials; both see all trials."""

    def __init__(self, places: Places, turns: Turns, free: Product) -> None:
        self._turns, self._free = turns, free
        self._all = TURNS * len(places.names)

    def propose(
        self, number: int, tried: Sequence[Tried], pending: Pending
    ) -> tuple[int, np.ndarray]:
        if number < self._all:
            return self._turns.propose(number, tried, pending)
        return self._free.propose(number, tried, pending)


def tpe_branch(pooled: bool) -> Callable[[Search, int], Any]:
    def make(search: Search, seed: int) -> Any:
        inner = TPESampler(
            seed=seed, multivariate=True, n_startup_trials=3, constant_liar=True, n_ei_candidates=24
        )
        found = BranchSampler(search.space, search.scientific, lambda _: inner, seed=seed)
        if pooled:
            found._rest = _Pooled(seed, search)
            keep = found._propose

            def propose(study: Any, trial: Any) -> dict[str, Any]:
                proposed = keep(study, trial)
                proposed.pop("schedule.name", None)
                return proposed

            found._propose = propose
        return found

    return make


class _Pooled(TPESampler):
    def __init__(self, seed: int, search: Search) -> None:
        super().__init__(seed=seed, n_startup_trials=18)
        assert CategoricalDistribution


def choosers() -> dict[str, Make]:
    """Return all that are compared, by name."""

    def product(name: str, **kw: Any) -> Make:
        return lambda places, seed: Product(places, seed, name, **kw)

    def turns(cls: type[Turns], free: Free, **kw: Any) -> Make:
        return lambda places, seed: cls(places, seed, free, **kw)

    return {
        "product: tpe": product("tpe"),
        "product: tpe, free even": product("tpe", free="even"),
        "product: qmc": product("qmc"),
        "product: gp": product("gp"),
        "tpe per branch": product("", make=tpe_branch(False), free="even"),
        "tpe per branch, schedule pooled": product("", make=tpe_branch(True), free="even"),
        "random, free random": turns(Random, anyone),
        "random": turns(Random, even),
        "sobol": turns(Sequence_, even, balanced=False),
        "sobol, balanced": turns(Sequence_, even),
        "halton, balanced": turns(Sequence_, even, kind="halton"),
        "lhs": turns(Sequence_, even, kind="lhs", balanced=False),
        "sobol, balanced, race": turns(Sequence_, in_race),
        "screen 1": turns(Sequence_, even, screen=1),
        "screen 2": turns(Sequence_, even, screen=2),
        "screen 3": turns(Sequence_, even, screen=3),
        "screen 2, decay": turns(Sequence_, even, screen=2, decay=True),
        "screen 2, tpe": lambda places, seed: Then(
            places, Sequence_(places, seed, even, screen=2), Product(places, seed, "tpe")
        ),
        "screen 2, tpe even": lambda places, seed: Then(
            places, Sequence_(places, seed, even, screen=2), Product(places, seed, "tpe", free="even")
        ),
        "H gp, startup 3, screened": turns(Shared, even, startup=3, screened=True),
        "H gp, startup 3, screened, noise .2": turns(Shared, even, startup=3, screened=True, noise=.2),
        "H gp, startup 3, screened, alike .8": turns(Shared, even, startup=3, screened=True, alike=.8,noise=.2),
        "H gp, startup 3, screened, long": turns(Shared, even, startup=3, screened=True, alike=.8,noise=.2,lengths=(.4,1.,2.)),
        "H gp, startup 3, long": turns(Shared, even, startup=3, alike=.8,noise=.2,lengths=(.4,1.,2.)),
        "H gp, startup 4, screened": turns(Shared, even, startup=4, screened=True, alike=.8,noise=.2),
        "gp alone": turns(Shared, even, schedule=0.0, rate=0.0, own=1.1),
        "gp, schedule": turns(Shared, even, rate=0.0),
        "gp, schedule, rate": turns(Shared, even),
        "gp, schedule, rate, race": turns(Shared, in_race),
        "gp, startup 2": turns(Shared, even, startup=2),
        "gp, startup 3": turns(Shared, even, startup=3),
        "gp, ucb 0": turns(Shared, even, how="0"),
        "gp, ucb 1": turns(Shared, even, how="1"),
    }
