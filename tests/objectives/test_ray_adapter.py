"""``as_ray_trainable`` on Ray itself: under ASHA, OptunaSearch and population based training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_data import small_data

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What ``tune_script.py`` prints: one start of Ray for all tests of this file."""
    folder = tmp_path_factory.mktemp("tune")
    # Ray's workers would have the lowest priority, so on a busy machine the script takes minutes.
    environment = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "RAY_worker_niceness": "0"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("tune_script.py"), folder, small_data()],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_a_function_under_asha_and_optuna_search(found):
    trials = found["asha"]
    assert len(trials) == 6
    assert all(("y" in one["params"]) == (one["params"]["kind"] == "a") for one in trials)
    assert all(one["score"] == one["params"]["x"] * one["step"] for one in trials)
    assert min(one["step"] for one in trials) < 4  # ASHA stopped some
    best = max(trials, key=lambda one: one["params"]["x"])
    assert best["step"] == 4
    seeds = [one["seed"] for one in trials]
    assert len(set(seeds)) == 6
    assert set(seeds) <= set(map(float, found["seeds"]))  # a metric is a float


def assert_same(row):
    reported = {name: row["metrics"][name] for name in row["by_itself"]}
    assert reported == row["by_itself"]


@pytest.mark.long
def test_a_copy_in_a_population_is_one_training(found):
    assert len(found["pbt"]) == 2
    assert any(row["lineage"]["changes"] for row in found["pbt"])
    for row in found["pbt"]:
        assert row["metrics"]["step"] == 3
        assert_same(row)


@pytest.mark.long
def test_a_trial_whose_process_died_resumes_to_the_same_metrics(found):
    (row,) = found["killed"]
    assert row["metrics"]["step"] == 3 and row["lineage"]["changes"] == []
    assert row["lineage"]["seed"] == found["seeds"][0]
    # The training after the death started at the last report, not at the first.
    assert row["metrics"]["training_iteration"] == 3
    assert_same(row)
