"""The table of regrets: all ways to search, on the same instances, with the same seeds."""

import statistics
from collections.abc import Iterator

import numpy as np

from simulated.compared import choosers
from simulated.instances import Drawn, Instance, Places, Smoothed, spread
from simulated.regret import Figures, figures, run
from simulated.table import Table
from studies.spec import StudySpec

TODAY = "product: tpe"
KINDS = ("table", "drawn", "unlike")
"""The recorded table; instances like it; instances on which no choice tells of another."""
HEADER = ["search", "regret", "±", "less TPE's", "±", "better of two", "bound", "right %"]
HEADER += ["winner's", "collapse %", "trainings", "to best 5 %", "never"]


def regrets(
    spec: StudySpec, table: Table, kind: str, *, only: str, seeds: range, trials: int
) -> Iterator[tuple[str, list[Figures]]]:
    """Yield each search's name and its figures, a seed each; ``only``: parts of names, by ``|``."""
    places = Places(spec.space, spec.scientific, spec.defaults)
    smoothed = Smoothed(table, places)
    instances: list[Instance] = [
        smoothed if kind == "table" else Drawn(places, seed, alike=kind == "drawn")
        for seed in seeds
    ]
    targets = [top(instance, places) for instance in instances]
    for name, make in choosers().items():
        if not any(part in name for part in only.split("|")):
            continue
        found = []
        for seed, instance, target in zip(seeds, instances, targets, strict=True):
            tried = run(instance, places, make(places, seed), seed, trials=trials)
            found.append(figures(instance, tried, target))
        yield name, found


def top(instance: Instance, places: Places) -> float:
    """Return the true value that 5 % of random configurations of all choices reach."""
    chance = np.random.default_rng(5)
    values = [
        instance.truth(choice, spread(500, bool(two), chance))
        for choice, two in enumerate(places.two)
    ]
    return float(np.quantile(np.concatenate(values), 0.95))


def row(name: str, found: list[Figures], today: list[Figures] | None) -> list[str]:
    """Return a search's row: means, ± their standard error, the median of the times."""
    regret = np.array([one.regret for one in found])
    root = len(found) ** 0.5
    less, error = "", ""
    if today is not None and name != TODAY:
        apart = regret - np.array([one.regret for one in today])
        less, error = f"{apart.mean():+.3f}", f"{apart.std(ddof=1) / root:.3f}"

    def mean(key: str, scale: float = 1, digits: int = 2) -> str:
        return f"{scale * statistics.fmean(getattr(one, key) for one in found):.{digits}f}"

    times = [one.reached for one in found]
    return [
        name,
        f"{regret.mean():.3f}",
        f"{regret.std(ddof=1) / root:.3f}",
        less,
        error,
        mean("top", digits=3),
        mean("bound", digits=3),
        mean("right", 100, 0),
        mean("winner"),
        mean("risk", 100, 1),
        mean("epochs", 1 / 6, 1),
        f"{statistics.median(times):.1f}",
        str(sum(time == float("inf") for time in times)),
    ]
