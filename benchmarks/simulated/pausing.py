"""Searches whose trials may be paused and continued, in epochs: rules, their loop, their regret.

As in ``regret.py``, but the budget is epochs and two workers run side by side, an epoch a unit of
time. A rule says at which epochs a trial is paused or stopped, and which paused one continues when
a worker is free. Defaults are neither stopped nor paused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from simulated.choosers import Quasi, Random, even
from simulated.instances import EPOCHS, Drawn, Instance, Places, Smoothed
from simulated.regret import STARTUP, WARMUP, WORKERS, Chooser, Tried, figures
from simulated.table import Table
from studies.spec import StudySpec


@dataclass(eq=False)
class Run:
    """A training, started or paused: ``done`` epochs of ``curve``, to be paused after ``until``."""

    number: int
    choice: int
    point: np.ndarray
    curve: np.ndarray
    done: int = 0
    until: int = EPOCHS
    running: bool = True
    over: bool = False

    @property
    def value(self) -> float:
        """The last accuracy."""
        return float(self.curve[self.done - 1])

    @property
    def paused(self) -> bool:
        """Whether it waits to be continued."""
        return not self.running and not self.over


class Rule:
    """Trains every trial to its end."""

    startup = 0
    shown = True

    def stops(self, run: Run, same: Sequence[Run]) -> bool:
        """Whether ``run`` stops at its last report; ``same``: started runs of its choice."""
        return False

    def first(self) -> int:
        """Return the epoch at which a new trial is paused."""
        return EPOCHS

    def continued(self, runs: Sequence[Run], left: bool) -> tuple[Run, int] | None:
        """Return a paused run to continue, and to which epoch; ``left``: new ones may start."""
        return None

    def cost(self) -> float:
        """Return the epochs of a trial, expected."""
        return EPOCHS


class Median(Rule):
    """Stops what is worse than the median of its choice, as ``studies/search/pruners.py`` does."""

    def stops(self, run: Run, same: Sequence[Run]) -> bool:
        """Whether ``run`` stops at its last report."""
        if sum(one.done == EPOCHS for one in same) < STARTUP or run.done < WARMUP:
            return False
        at = [one.curve[run.done - 1] for one in same if one.done >= run.done and one is not run]
        return run.curve[: run.done].max() < np.median(at)

    def cost(self) -> float:
        """Return the epochs of a trial, as measured."""
        return 5.35


@dataclass
class Halving(Rule):
    """Stops at a rung what is not among the best 1/eta of its choice that have reached it."""

    rungs: tuple[int, ...] = (3,)
    eta: float = 3.0

    def stops(self, run: Run, same: Sequence[Run]) -> bool:
        """Whether ``run`` stops at its last report."""
        if run.done not in self.rungs:
            return False
        at = sorted((one.curve[run.done - 1] for one in same if one.done >= run.done), reverse=True)
        keep = max(1, int(len(at) / self.eta))
        return run.value < at[keep - 1]

    def cost(self) -> float:
        """Return the epochs of a trial, expected; the first of a choice continue more often."""
        return _cost(self.rungs, self.eta) + 0.5


Score = Callable[[Sequence[Run], Run, int], float]
"""What a paused run is ranked by: all runs, the run, the rung."""


def by_value(runs: Sequence[Run], run: Run, rung: int) -> float:
    """Rank by the accuracy at the rung."""
    return float(run.curve[rung - 1])


def by_end(runs: Sequence[Run], run: Run, rung: int) -> float:
    """Rank by what finished runs with the same schedule gained from the rung to their end."""
    gains = [
        np.log1p(-one.curve[-1]) - np.log1p(-one.curve[rung - 1])
        for one in runs
        if one.done == EPOCHS and one.point[3] == run.point[3] and one.curve[rung - 1] > 0.3
    ]
    gain = float(np.mean(gains)) * len(gains) / (len(gains) + 2) if gains else 0.0
    return -float(np.log1p(-run.curve[rung - 1]) + gain)


@dataclass
class Thaw(Rule):
    """Pauses at each rung; continues the best paused of the best 1/eta of its choice there.

    Attributes:
        score: by what they are ranked.
        startup: trials of a choice, its default among them, that are not paused.
        shown: whether the sampler sees a paused run's last value; else it sees it as running.
        late: whether nothing continues while new trials may start.
        least: runs of a choice at a rung before one of them continues.
        deep: whether the highest rung is looked at first.
    """

    rungs: tuple[int, ...] = (3,)
    eta: float = 3.0
    score: Score = field(default=by_value)
    late: bool = False
    least: int = 1
    further: bool = True
    up: bool = False
    startup: int = 0
    shown: bool = True

    def first(self) -> int:
        """Return the first rung."""
        return self.rungs[0]

    def cost(self) -> float:
        """Return the epochs of a trial, expected."""
        return _cost(self.rungs, self.eta)

    def continued(self, runs: Sequence[Run], left: bool) -> tuple[Run, int] | None:
        """Return a paused run to continue, and to which epoch."""
        if left and self.late:
            return None
        for place in reversed(range(len(self.rungs))):
            rung = self.rungs[place]
            to = self.rungs[place + 1] if place + 1 < len(self.rungs) else EPOCHS
            found = []
            for choice in {run.choice for run in runs if run.paused and run.until == rung}:
                at = [r for r in runs if r.choice == choice and r.done >= rung]
                if left and len(at) < self.least:
                    continue
                scores = {id(run): self.score(runs, run, rung) for run in at}
                ranked = sorted(at, key=lambda run: -scores[id(run)])
                keep = int(np.ceil(len(at) / self.eta) if self.up else len(at) / self.eta)
                found += [
                    (rank / len(at), run)
                    for rank, run in enumerate(ranked[:keep])
                    if run.paused and run.until == rung
                ]
            if found:
                return min(found, key=lambda one: (one[0], one[1].number))[1], to
        if left or not self.further:
            return None
        # Beyond the rule: the budget has room for more.
        found = []
        for run in runs:
            if run.paused:
                at = [r for r in runs if r.choice == run.choice and r.done >= run.until]
                better = sum(
                    self.score(runs, r, run.until) > self.score(runs, run, run.until) for r in at
                )
                found.append((better / len(at), run.number, run))
        if not found:
            return None
        run = min(found)[2]
        later = [rung for rung in self.rungs if rung > run.until]
        return run, later[0] if later else EPOCHS


def _cost(rungs: Sequence[int], eta: float) -> float:
    ends = [*rungs[1:], EPOCHS]
    steps = [(b - a) / eta ** (i + 1) for i, (a, b) in enumerate(zip(rungs, ends, strict=True))]
    return rungs[0] + sum(steps)


def search(
    instance: Instance, places: Places, chooser: Chooser, rule: Rule, seed: int, *, budget: int
) -> tuple[list[Tried], int]:
    """Search until ``budget`` epochs are used; return the trials by number, and the epochs used."""
    chance = np.random.default_rng((seed, 3))
    defaults = len(places.names)
    full = defaults * max(1, rule.startup)
    most = full + int((budget - full * EPOCHS) / rule.cost())
    runs: list[Run] = []

    def start() -> Run | None:
        spent = sum(run.done for run in runs) + sum(
            run.until - run.done for run in runs if run.running
        )
        left = len(runs) < most
        if spent >= budget:
            return None
        again = rule.continued(runs, left)
        if again is not None:
            run, run.until = again
            run.running = True
            return run
        if not left:
            return None
        number = len(runs)
        choice, point = number, places.defaults[number] if number < defaults else None
        if point is None:
            seen = [run for run in runs if run.over or (run.paused and rule.shown)]
            tried = [_tried(run) for run in seen]
            pending = [(run.choice, run.point) for run in runs if run not in seen]
            choice, point = chooser.propose(number, tried, pending)
        curve = instance.training(choice, point, chance)
        early = sum(run.choice == choice for run in runs) < rule.startup
        until = EPOCHS if number < defaults or early else rule.first()
        runs.append(Run(number, choice, point, curve, until=until))
        return runs[-1]

    busy: list[Run] = []
    while True:
        while len(busy) < WORKERS and (run := start()) is not None:
            busy.append(run)
        if not busy:
            break
        for run in list(busy):
            run.done += 1
            same = [one for one in runs if one.choice == run.choice]
            if run.done == EPOCHS or (run.number >= defaults and rule.stops(run, same)):
                run.over = True
            elif run.done < run.until:
                continue
            run.running = False
            busy.remove(run)
    return [_tried(run) for run in runs], sum(run.done for run in runs)


def _tried(run: Run) -> Tried:
    return Tried(run.choice, run.point, run.curve[: run.done], run.done == EPOCHS)


class Raw(Smoothed):
    """The recorded table as it is: a point has the curve of the nearest row, without noise."""

    NEAREST = 1

    def training(self, choice: int, point: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """Return the recorded curve."""
        return 1 - np.exp(self._curves(choice, point[None])[0])


def rules() -> dict[str, Rule]:
    """Return all rules that are compared, by name; "from n": the first n of a choice run whole."""
    found: dict[str, Rule] = {
        "none": Rule(),
        "median (stops)": Median(),
        "halving at 3, 1/2 (stops)": Halving((3,), 2),
        "at 3, 1/2, value shown": Thaw((3,), 2),
        "at 3, 1/2": Thaw((3,), 2, shown=False),
        "at 3, 1/3": Thaw((3,), 3, shown=False),
        "at 4, 1/2": Thaw((4,), 2, shown=False),
        "at 3, 1/3, extrapolated": Thaw((3,), 3, score=by_end, shown=False),
    }
    for startup in (3, 4):
        found |= {
            f"from {startup}, at 3, 1/2, value shown": Thaw((3,), 2, startup=startup),
            f"from {startup}, at 3, 1/2": Thaw((3,), 2, startup=startup, shown=False),
            f"from {startup}, at 3, 1/3": Thaw((3,), 3, startup=startup, shown=False),
            f"from {startup}, at 4, 1/2": Thaw((4,), 2, startup=startup, shown=False),
        }
    return found


CHOOSERS: dict[str, Callable[[Places, int], Chooser]] = {
    "screen 2": lambda places, seed: Quasi(places, seed, even, screen=2),
    "random": lambda places, seed: Random(places, seed, even),
}
HEADER = ["rule", "regret", "±", "less median's", "±", "right %", "worst", "epochs", "trials"]
HEADER += ["full"]


def compare(
    spec: StudySpec, table: Table, kind: str, chooser: str, *, only: str, seeds: int, budget: int
) -> Iterator[list[str]]:
    """Yield a row for each rule whose name has one of ``only``, parted by ``|``, in it.

    Args:
        kind: raw, table, drawn or unlike.
        chooser: of ``CHOOSERS``.
        budget: epochs of a search.
    """
    places = Places(spec.space, spec.scientific, spec.defaults)
    held = (Raw if kind == "raw" else Smoothed)(table, places)
    instances: list[Instance] = [
        held if kind in ("raw", "table") else Drawn(places, seed, alike=kind == "drawn")
        for seed in range(seeds)
    ]
    base: np.ndarray | None = None
    for name, rule in rules().items():
        if not any(part in name for part in only.split("|")):
            continue
        found, epochs, tried = [], 0, []
        for seed, instance in enumerate(instances):
            make = CHOOSERS[chooser](places, seed)
            trials, used = search(instance, places, make, rule, seed, budget=budget)
            found.append(figures(instance, trials, np.inf))
            tried += trials
            epochs += used
        regret, root = np.array([one.regret for one in found]), seeds**0.5
        base = regret if name.startswith("median") else base
        less = np.zeros(seeds) if base is None else regret - base
        yield [
            name,
            f"{regret.mean():.3f}",
            f"{regret.std(ddof=1) / root:.3f}",
            "" if base is None or base is regret else f"{less.mean():+.3f}",
            "" if base is None or base is regret else f"{less.std(ddof=1) / root:.3f}",
            f"{100 * np.mean([one.right for one in found]):.0f}",
            f"{np.mean([one.worst for one in found]):.2f}",
            f"{epochs / seeds:.0f}",
            f"{len(tried) / seeds:.0f}",
            f"{sum(one.full for one in tried) / seeds:.0f}",
        ]
