"""The regret of benchmarks/search.py: what it is, on points whose true values are known."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from test_faults import BENCHMARKS

from studies import catalog


@pytest.fixture(scope="module")
def of():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("instances", "regret", "compared", "table")
        found = {name: importlib.import_module(f"simulated.{name}") for name in names}
        yield SimpleNamespace(search=importlib.import_module("search"), **found)


@pytest.fixture(scope="module")
def places(of):
    spec = catalog.get(of.search.STUDY)
    return of.instances.Places(spec.space, spec.scientific, spec.defaults)


class Flat:
    """True is the first coordinate, in points; a training shows the second."""

    best = np.array([0.5, 0.9])

    def truth(self, choice, points):
        return points[:, 0]

    def risk(self, choice, points):
        return points[:, 2]


def tried(of, choice, true, seen, *, full=True, risk=0.0):
    point = np.array([true, seen, risk, 0.0])
    return of.regret.Tried(choice, point, np.array([0.0] * 5 + [seen]), full)


def test_the_pick_is_the_best_seen_full_training_and_regret_is_what_it_truly_lacks(of):
    search = [
        tried(of, 0, 0.4, 0.6, risk=0.5),
        tried(of, 0, 0.5, 0.5),
        tried(of, 0, 0.45, 0.9, full=False),  # pruned: not picked
        tried(of, 1, 0.7, 0.8),
    ]
    found = of.regret.figures(Flat(), search, target=0.7)
    assert found.regret == pytest.approx(100 * (0.1 + 0.2) / 2)
    assert found.top == found.bound == pytest.approx(100 * 0.2 / 2)
    assert (found.right, found.winner, found.risk) == (1.0, pytest.approx(20.0), 0.25)
    assert found.reached == 4


def test_places_lead_back_to_params(of, places):
    chance = np.random.default_rng(0)
    for choice, two in enumerate(places.two):
        for point in of.instances.spread(20, bool(two), chance):
            params = places.params(choice, point)
            places.space.check(params)
            back, again = places.place(params)
            assert back == choice and np.allclose(again, point)


@pytest.mark.parametrize("alike", [True, False])
def test_instances_are_like_the_recorded_trainings(of, places, alike):
    """Best 97 to 99.5 %; a random configuration is worse; a training shows the truth in the mean"""
    instance = of.instances.Drawn(places, 3, alike=alike)
    assert ((instance.best > 0.96) & (instance.best < 0.995)).all()
    chance = np.random.default_rng(0)
    point = of.instances.spread(1, True, chance)
    point[0] = [0.5, 0.5, 0.0, 2.0]
    seen = np.array([instance.training(3, point[0], chance)[-1] for _ in range(400)])
    kept = seen[seen > 0.5]
    assert kept.mean() == pytest.approx(instance.truth(3, point)[0], abs=0.002)
    assert 0.001 < kept.std() < 0.02


@pytest.mark.parametrize("name", ["product: screen", "sobol, balanced", "gp, schedule"])
def test_a_search_is_the_same_for_the_same_seed(of, places, name):
    instance = of.instances.Drawn(places, 1)
    make = of.compared.choosers()[name]
    one, two = [of.regret.run(instance, places, make(places, 1), 1, trials=30) for _ in range(2)]
    assert [x.choice for x in one] == [x.choice for x in two]
    assert all(np.array_equal(x.point, y.point) for x, y in zip(one, two, strict=True))
    assert [x.choice for x in one[:18]] == [*range(9), *range(9)]
