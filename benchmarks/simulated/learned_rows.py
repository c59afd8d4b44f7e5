"""Regret of searches that learn from an earlier study, beside the same searches without one."""

import statistics
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from simulated.choosers import Random, anyone
from simulated.earlier_studies import earlier
from simulated.instances import Drawn, Instance, Places, Smoothed
from simulated.regret import Figures, Make, figures, run
from simulated.regret_report import top
from simulated.sampler_choosers import Product
from simulated.table import Table
from studies.spec import StudySpec

FIRST = 1000
"""Constants were chosen on seeds below this one."""
SAMPLERS = ("screen", "tpe")
EARLIER = ("none", "related", "unrelated")
HEADER = ["search", "earlier study", "regret", "±", "less none", "±", "x none"]
HEADER += ["better of two", "bound", "to best 5 %", "x random"]


def learned_rows(
    spec: StudySpec, table: Table, on: str, *, seeds: int, trials: int
) -> Iterator[list[str]]:
    """Yield a row for each search and earlier study, on the same instances and seeds.

    Args:
        on: the recorded ``table``, or ``drawn`` instances.
    """
    places = Places(spec.space, spec.scientific, spec.defaults)
    smoothed = Smoothed(table, places)
    numbers = range(FIRST, FIRST + seeds)
    instances: list[Instance] = [
        smoothed if on == "table" else Drawn(places, seed) for seed in numbers
    ]
    targets = [top(instance, places) for instance in instances]

    def judge(makes: Sequence[Make]) -> list[Figures]:
        found = []
        for seed, instance, target, make in zip(numbers, instances, targets, makes, strict=True):
            tried = run(instance, places, make(places, seed), seed, trials=trials)
            found.append(figures(instance, tried, target))
        return found

    random = judge([lambda places, seed: Random(places, seed, anyone)] * seeds)
    time = statistics.median(one.reached for one in random)
    yield _row("random", "none", random, random, time)
    alone: dict[str, list[Figures]] = {}
    for kind in EARLIER:
        studies = [
            () if kind == "none" else (earlier(kind, instance, places, seed, "screen"),)
            for seed, instance in zip(numbers, instances, strict=True)
        ]
        for name in SAMPLERS:
            makes = [partial(Product, name=name, learned=of_seed) for of_seed in studies]
            found = judge(makes)
            yield _row(name, kind, found, alone.setdefault(name, found), time)


def _row(
    name: str, kind: str, found: Sequence[Figures], alone: Sequence[Figures], time: float
) -> list[str]:
    regret = np.array([one.regret for one in found])
    less = regret - np.array([one.regret for one in alone])
    root = len(found) ** 0.5
    reached = statistics.median(one.reached for one in found)
    same = found is alone
    return [
        name,
        kind,
        f"{regret.mean():.3f}",
        f"{regret.std(ddof=1) / root:.3f}",
        "" if same else f"{less.mean():+.3f}",
        "" if same else f"{less.std(ddof=1) / root:.3f}",
        "" if same else f"{1 + less.mean() / (regret - less).mean():.2f}",
        f"{statistics.fmean(one.top for one in found):.3f}",
        f"{statistics.fmean(one.bound for one in found):.3f}",
        f"{reached:.1f}",
        f"{reached / time:.2f}",
    ]
