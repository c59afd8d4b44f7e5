"""The engine ``ray`` on a cluster of one node, which all tests here share."""

import pytest
import toys
from test_engines import run, trail

from studies import engines
from studies.engines._ray_cluster import Cluster


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with Cluster("", cpus=2, gpus=0) as started:
        yield started


def trails(folder, objective_options, *, workers=1, **options):
    """The study's trail through each engine, as text: nan is not equal to itself."""
    found = {}
    for name in ("inline", "local", "ray"):
        place = folder / name
        place.mkdir()
        engine = engines.create(name, workers=workers, threads=1)
        records = run(place, engine, toys.Toy(place, **objective_options), **options)
        found[name] = [tuple(str(part) for part in line) for line in trail(records)]
    return found


def test_the_same_trail(tmp_path):
    script = {"steps": 5, "raises": (3,), "runs_out": (5,), "diverges": (6,)}
    search = {"sampler": "tpe", "pruner": "median", "pruner_options": {"n_startup_trials": 2}}
    found = trails(tmp_path, script, trials=16, **search)
    assert {line[1] for line in found["inline"]} == {"COMPLETE", "FAIL", "PRUNED"}
    assert found["ray"] == found["inline"] == found["local"]
