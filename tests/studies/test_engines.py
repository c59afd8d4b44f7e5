"""Every engine leaves the same trail; for ``ray``, which takes seconds, see test_engine_ray.py."""

import dataclasses
import os

import pytest
import toys
from toy_plans import toy_plan
from worker_toys import Uneven

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from objectives.base import Outcome
from studies import engines
from studies.ledger import write_queue
from studies.ledger.opening import open_search
from studies.storage.open import close_storage, open_storage

QUICK = ["fused", "inline", "local"]


def run(folder, engine, objective, *, listeners=(), **options):
    """Run the toy study through ``engine`` and return its records."""
    plan = toy_plan(folder, **options)
    storage = open_storage(plan.storage_url, create=True)
    try:
        with engine, open_search(plan, storage, listeners=listeners) as book:
            engine.run(book, objective)
            return book.records()
    finally:
        close_storage(storage)


def trail(records):
    """All that must not depend on the engine: no times, no process ids."""
    return [
        (r.number, r.state, r.params, r.seed, r.value, r.curve, r.metrics, r.attributes, r.attempt)
        + ((r.failure.kind, r.failure.message) if r.failure else ())
        for r in records
    ]


def rungs(folder, engine, pruner):
    """Run trials of unequal speed; return each one's curve, and its rungs by name."""
    plan = toy_plan(folder, trials=16, pruner=pruner)
    plan = dataclasses.replace(plan, train=TrainConfig(epochs=9))
    storage = open_storage(plan.storage_url, create=True)
    try:
        with engine, open_search(plan, storage) as book:
            engine.run(book, Uneven())
            trials = book.study.get_trials(deepcopy=False)
    finally:
        close_storage(storage)
    assert len(trials) == 16 and all(trial.state.is_finished() for trial in trials)
    return [
        (
            trial.intermediate_values,
            {k: v for k, v in trial.system_attrs.items() if k.startswith("completed_rung_")},
        )
        for trial in trials
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "workers"), [("inline", 1), ("local", 4)])
def test_rungs_hold_values_of_their_own_step_however_unequal_the_workers(tmp_path, name, workers):
    engine = engines.create(name, workers=workers, threads=1)
    found = rungs(tmp_path, engine, "successive_halving")
    for curve, marks in found:
        reached = [step for step in (1, 4) if step in curve]
        assert marks == {f"completed_rung_{n}": curve[step] for n, step in enumerate(reached)}
    assert any(len(curve) < 9 for curve, _ in found)


@pytest.mark.parametrize("pruner", ["none", "median", "successive_halving", "hyperband"])
def test_the_same_trail_through_every_engine(tmp_path, pruner):
    trails = {}
    search = {"sampler": "tpe", "pruner": pruner}
    if pruner == "median":
        search["pruner_options"] = {"n_startup_trials": 2}
    for name in QUICK:
        folder = tmp_path / name
        folder.mkdir()
        objective = toys.Toy(folder, steps=5, raises=(3,), runs_out=(5,), diverges=(6,))
        engine = engines.create(name, workers=1, threads=1)
        records = run(folder, engine, objective, trials=16, **search)
        trails[name] = [
            tuple(str(part) for part in line) for line in trail(records)
        ]  # as text: nan is not equal to itself
        states = {record.state for record in records}
        assert states == {"COMPLETE", "FAIL"} | ({"PRUNED"} if pruner != "none" else set())
    assert len(trails) >= 2
    assert all(other == trails["inline"] for other in trails.values())


def test_failures_through_every_engine(tmp_path):
    for name in QUICK:
        folder = tmp_path / name
        folder.mkdir()
        objective = toys.Toy(folder, raises=(0,), runs_out=(1,), diverges=(2,))
        engine = engines.create(name, workers=1, threads=1)
        failures = [r.failure for r in run(folder, engine, objective, trials=3)]
        kinds = ["ValueError", "OutOfMemory", "NonFiniteLoss"]
        assert [failure.kind for failure in failures] == kinds
        assert failures[0].message == "this trial was made to fail"
        assert "toys.py" in failures[0].traceback
        assert failures[0].traceback.count("\n") < 20


def test_an_engine_that_is_none():
    with pytest.raises(ConfigError, match="'local'"):
        engines.create("locall", workers=1, threads=1)
    assert engines.names() == [*QUICK, "ray"]


def test_inline_says_that_it_runs_one_trial_at_a_time(tmp_path):
    plan = dataclasses.replace(toy_plan(tmp_path, workers=4), threads=2)
    there = engines.adapted(plan, engines.create("inline", workers=4, threads=2))
    assert (there.workers, there.threads) == (1, 2)  # the same sums as in any of the four


def test_inline_runs_here(tmp_path):
    run(tmp_path, engines.create("inline", workers=1, threads=1), toys.Toy(tmp_path), trials=2)
    assert {line[-1] for line in toys.attempts(tmp_path)} == {str(os.getpid())}


@pytest.mark.parametrize("now", [False, True])
def test_inline_stops(tmp_path, monkeypatch, now):
    monkeypatch.setattr(write_queue, "_APART", 0.0)  # on a slow disk, too, each report is written
    engine = engines.create("inline", workers=1, threads=1)

    def stop(event):
        if event.kind == "report" and event.trial == 1:
            engine.stop(now=now)

    records = run(tmp_path, engine, toys.Toy(tmp_path), trials=9, listeners=[stop])
    assert [r.state for r in records] == ["COMPLETE", "WAITING" if now else "COMPLETE"]
    engine = engines.create("inline", workers=1, threads=1)
    records = run(tmp_path, engine, toys.Toy(tmp_path), trials=9)
    assert [r.state for r in records] == ["COMPLETE"] * 9
    assert [r.attempt for r in records] == [0] * 9


def test_an_objective_without_an_outcome(tmp_path):
    engine = engines.create("inline", workers=1, threads=1)
    (record,) = run(tmp_path, engine, lambda task, report: 0.5, trials=1)
    assert record.failure.kind == "BadOutcome"


def test_an_objective_that_lets_the_stop_pass(tmp_path):
    def objective(task, report):
        for step in range(1, 5):
            report(step, {"val_accuracy": 0.9 if task.number < 4 else 0.1})
        return Outcome(metrics={"val_accuracy": 0.9})

    engine = engines.create("inline", workers=1, threads=1)
    options = {"pruner": "median", "pruner_options": {"n_startup_trials": 1}}
    records = run(tmp_path, engine, objective, trials=6, **options)
    assert [r.state for r in records] == ["COMPLETE"] * 4 + ["PRUNED"] * 2
    assert records[5].metrics == {"val_accuracy": 0.1}
