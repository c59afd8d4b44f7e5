"""The engine ``ray`` on a cluster of one node, which all tests here share."""

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray
import toys
from pausing_toy import PausingToy, trained
from ray_toys import MIB, Greedy, Ranked, Unloadable
from test_engines import run, rungs, trail
from test_pausing import line, plan_in
from test_pausing import run as search_with_pauses
from toy_plans import toy_plan
from unfit_toys import Unfit, attempts
from waiting import PATIENCE, patient_ray, until

from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from objectives.base import Task
from studies import engines
from studies.core.trials import GPU_FAILURE, Failure, Limits
from studies.engines._local.worker_start import WorkerStartError
from studies.engines.base import Resources
from studies.engines.ray import cluster as _ray_cluster
from studies.engines.ray import nodes, ray_internals
from studies.engines.ray.cluster import Cluster
from studies.engines.ray.nodes import Claim
from studies.engines.ray.task_table import how_it_died
from studies.engines.ray.tune import FairAsha
from studies.ledger.opening import open_search
from studies.planning.plan import resolve
from studies.planning.ray_settings import RaySettings
from studies.protocol.objective import build_objective
from studies.storage.open import close_storage, open_storage

MADE_UP = {"time", "pid", "seconds", "id"}


@pytest.fixture
def killed(tmp_path):
    """A driver with a cluster of its own, killed while two of its trials run; its processes."""
    family = []
    program = Path(__file__).parents[1] / "small_run.py"
    path = os.pathsep.join([str(program.parents[1]), str(program.parent)])
    driver = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path), "ray", "4", "0", "2"],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: len(toys.attempts(tmp_path)) == 4, alive=lambda: driver.poll() is None)
        family.extend(psutil.Process(driver.pid).children(recursive=True))
        driver.kill()
        driver.wait()
        yield family
    finally:
        driver.kill()
        driver.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with patient_ray(), Cluster("", cpus=2, gpus=0) as started:
        yield started


def ray_engine(workers=1, **settings):
    resources = Resources(ray=RaySettings(**settings))
    return engines.create("ray", workers=workers, threads=1, resources=resources)


@pytest.mark.slow
def test_the_same_trail_and_events(tmp_path):
    found, heard = {}, {}
    search = {"sampler": "tpe", "pruner": "median", "pruner_options": {"n_startup_trials": 2}}
    for name in ("inline", "local", "ray"):
        folder, events = tmp_path / name, []
        folder.mkdir()
        engine = engines.create(name, workers=1, threads=1)
        script = toys.Toy(folder, steps=5, raises=(3,), runs_out=(5,), diverges=(6,))
        records = run(folder, engine, script, trials=16, listeners=[events.append], **search)
        # As text: nan is not equal to itself.
        found[name] = [tuple(str(part) for part in line) for line in trail(records)]
        heard[name] = [
            (e.kind, e.trial, str({k: v for k, v in e.data.items() if k not in MADE_UP}))
            for e in events
        ]
    assert {line[1] for line in found["inline"]} == {"COMPLETE", "FAIL", "PRUNED"}
    assert found["ray"] == found["inline"] == found["local"]
    assert heard["ray"] == heard["inline"] == heard["local"]


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_is_run_again_and_given_up_in_the_end(tmp_path):
    objective = toys.Toy(tmp_path, dies=(1,), deaths=2)
    records = run(tmp_path, ray_engine(), objective, trials=3, retries=1)
    assert [record.state for record in records] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert records[1].failure.kind == "WorkerLost"
    assert records[1].failure.message.startswith("lost 2 times, given up; last: ")
    assert "worker process has died" in records[1].failure.message
    attempts = [line for line in toys.attempts(tmp_path) if line[0] == "1"]
    assert [line[1] for line in attempts] == ["0", "1"]
    assert len({(line[2], line[3]) for line in attempts}) == 1  # same seed and params


@pytest.mark.long
def test_a_worker_that_cannot_use_its_device_is_replaced(tmp_path):
    objective = Unfit(tmp_path, times=2, sticky=(1,))
    records = run(tmp_path, ray_engine(), objective, trials=3, retries=1)
    assert [(r.state, r.attempt) for r in records] == [
        ("COMPLETE", 0),
        ("FAIL", 1),
        ("COMPLETE", 0),
    ]
    assert records[1].failure.kind == GPU_FAILURE
    assert len({pid for _, pid in attempts(tmp_path)}) == 5


@pytest.mark.long
def test_devices_that_stay_taken_end_the_run_in_a_line(tmp_path):
    with pytest.raises(UserError, match="CUDA out of memory"):
        run(tmp_path, ray_engine(), Unfit(tmp_path, times=30), trials=9)
    records = run(tmp_path, ray_engine(), Unfit(tmp_path), trials=9)
    assert [(r.state, r.attempt) for r in records] == [("COMPLETE", 0)] * 9


@pytest.mark.long
def test_trials_over_a_limit_are_ended(tmp_path):
    plan = toy_plan(tmp_path, trials=3)
    storage = open_storage(plan.storage_url, create=True)
    limits = Limits(seconds=15.0, memory=500 * MIB)
    with ray_engine(workers=2) as engine, open_search(plan, storage) as book:
        engine.run(book, Greedy(), limits)
        records = book.records()
    close_storage(storage)
    assert [record.state for record in records] == ["FAIL", "FAIL", "COMPLETE"]
    assert [record.failure.kind for record in records[:2]] == ["TimeLimit", "MemoryLimit"]
    assert "GiB in use after report 1; the limit is 0.49 GiB" in records[1].failure.message
    assert [record.attempt for record in records] == [0, 0, 0]


@pytest.mark.long
def test_stopped_now_all_is_given_back(tmp_path):
    engine = ray_engine(workers=2)

    def stop(event):
        if event.kind == "report":
            engine.stop(now=True)

    records = run(tmp_path, engine, toys.Toy(tmp_path, holds=0), trials=4, listeners=[stop])
    assert {record.state for record in records} == {"WAITING"}
    records = run(tmp_path, ray_engine(workers=2), toys.Toy(tmp_path), trials=4)
    assert [record.state for record in records] == ["COMPLETE"] * 4
    assert [record.attempt for record in records] == [0] * 4


def test_calls():
    with ray_engine(workers=2) as engine:
        found = engines.call(engine, divmod, [(n, 2) for n in range(5)])
        assert found == [divmod(n, 2) for n in range(5)]
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            engines.call(engine, divmod, [(1, 0)])


def test_calls_end_when_no_node_has_room_any_more(monkeypatch):
    with ray_engine(wait_seconds=0.0) as engine:
        monkeypatch.setattr(engine._cluster, "room", lambda claim: 0)
        with pytest.raises(UserError, match="1 CPU"):
            engines.call(engine, time.sleep, [(600,)])


def test_a_node_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(nodes, "_ANSWER", 0.5)
    [(_, answer)] = nodes.on_every_node(lambda: time.sleep(20))  # no more: it takes a place
    assert str(answer) == "no answer within 0.5 s"


@pytest.mark.long
def test_an_objective_that_cannot_be_sent_or_loaded(tmp_path):
    with pytest.raises(WorkerStartError, match="cannot be sent to workers"):
        run(tmp_path, ray_engine(), lambda task, report: None, trials=1)
    with pytest.raises(WorkerStartError, match="ImportError: no such library here"):
        run(tmp_path, ray_engine(), Unloadable(), trials=3)


@pytest.mark.long
def test_rungs_hold_values_of_their_own_step(tmp_path):
    for curve, marks in rungs(tmp_path, ray_engine(workers=2), "successive_halving"):
        reached = [step for step in (1, 4) if step in curve]
        assert marks == {f"completed_rung_{n}": curve[step] for n, step in enumerate(reached)}


@pytest.mark.long
def test_tunes_asha_stops_trials_and_they_are_pruned(tmp_path):
    plan = replace(toy_plan(tmp_path), train=TrainConfig(epochs=4))
    engine = ray_engine(scheduler="asha", asha_factor=2.0)
    with engine:
        engine.adapt(plan)
        records = run(tmp_path, engine, Ranked(), trials=6)
    states = [record.state for record in records]
    # Best so far, or a default: goes on. Below the median of its rung: stopped at its first report.
    assert states == ["COMPLETE"] * 3 + ["PRUNED", "COMPLETE", "PRUNED"]
    assert [list(record.curve) for record in records if record.state == "PRUNED"] == [[1]] * 2
    assert all(len(record.curve) == 4 for record in records if record.state == "COMPLETE")


def test_asha_compares_within_a_choice_and_spares_the_defaults(tmp_path):
    plan = replace(toy_plan(tmp_path), train=TrainConfig(epochs=4))
    engine = ray_engine(scheduler="asha", asha_factor=2.0)
    with engine:
        engine.adapt(plan)
        decided = engine._decided_by_tune(SimpleNamespace(phase="search"))
        assert engine._decided_by_tune(SimpleNamespace(phase="confirm")) is None
    asha = FairAsha(decided.spec, decided.settings.engine.ray, decided.most_reports)

    def continues(number, kind, value):
        task = Task(number=number, params={"kind": kind}, seed=0)
        return asha.continues(None, task, 1, {"val_accuracy": value})

    assert continues(2, "fast", 0.9)
    assert continues(0, "fast", 0.5)  # a default
    assert continues(1, "slow", 0.1)
    assert continues(3, "slow", 0.2)  # bad, but not for its choice
    assert not continues(4, "fast", 0.6)
    assert not continues(5, "slow", 0.1)


def test_ashas_rungs_hold_values_of_their_own_step_once(tmp_path):
    """A trial that is run again reports again, under another of Tune's names."""
    plan = replace(toy_plan(tmp_path), train=TrainConfig(epochs=9))
    asha = FairAsha(plan.spec, plan.settings.engine.ray, plan.most_reports)

    def report(number, step, value):
        task = Task(number=number, params={"kind": "fast"}, seed=0)
        return asha.continues(None, task, step, {"val_accuracy": value})

    assert report(2, 1, 0.5) and report(3, 1, 0.6)
    assert report(4, 2, 0.1)  # it was not asked at step 1: it is in no rung there
    assert all(report(3, 1, 0.6) for _ in range(9))  # counted once
    assert report(5, 1, 0.58)


def test_asha_and_a_pruner_are_one_too_many():
    with ray_engine(scheduler="asha") as engine, pytest.raises(UserError, match="must be none"):
        engine.adapt(resolve("optim_search", sets={}))


@pytest.mark.long
def test_a_small_real_study(tmp_path):
    found = {}
    for name in ("local", "ray"):
        sets = {"search.trials": 2, "epochs": 1, "device": "cpu", "engine.threads": 1}
        sets |= {"engine.workers": 1, "results.folder": str(tmp_path / name)}
        plan = resolve("optim_search", sets=sets)
        storage = open_storage(plan.storage_url, create=True)
        engine = engines.create(name, workers=1, threads=1)
        with engine, open_search(plan.with_data("these"), storage) as book:
            engine.run(book, build_objective(plan, None))
            found[name] = book.records()
        close_storage(storage)
    assert trail(without_clocks(found["ray"])) == trail(without_clocks(found["local"]))
    assert [record.state for record in found["ray"]] == ["COMPLETE"] * 2


def without_clocks(records):
    return [
        replace(r, attributes={k: v for k, v in r.attributes.items() if "seconds" not in k})
        for r in records
    ]


def pretend_unconnected(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(_ray_cluster, "read_environment", lambda: None)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nothing answers at 127.0.0.1:1"),
        ("10.0.0..5:6379", "nothing answers at 10.0.0..5:6379"),
        ("head", "expected auto or host:port"),
        ("127.0.0.1:6379²", "expected auto or host:port"),
        ("ray://head:10001", "address of Ray Client"),
    ],
)
def test_addresses_that_cannot_be_joined(address, said, monkeypatch):
    pretend_unconnected(monkeypatch)
    with pytest.raises(UserError, match=said) as caught, Cluster(address, cpus=1, gpus=0):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("Version mismatch: The cluster was started with:\n  Ray: 2.50", "other versions: Version"),
        ("Failed to connect to Ray cluster at h:6379", "is it Ray's port, and RAY_AUTH_TOKEN"),
    ],
)
def test_why_a_cluster_cannot_be_joined(raised, said):
    message = Cluster("h:6379", cpus=1, gpus=0)._cannot(RuntimeError(raised))
    assert said in message and "\n" not in message


def test_a_forgotten_token(monkeypatch):
    def refuse(**options):
        raise ray.exceptions.AuthenticationError("no token")

    pretend_unconnected(monkeypatch)
    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with (
        pytest.raises(UserError, match=r"cannot join auto: no token.* RAY_AUTH_TOKEN"),
        Cluster("auto", cpus=1, gpus=0),
    ):
        pass


def test_an_own_cluster_always_has_a_token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert Cluster("", cpus=1, gpus=0)._token() == {"RAY_AUTH_MODE": "token"}
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert Cluster("auto", cpus=1, gpus=0)._token() == {}
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert Cluster("auto", cpus=1, gpus=0)._token() == {"RAY_AUTH_MODE": "token"}


def test_resources_that_no_node_has():
    with pytest.raises(UserError, match="64 CPU"):
        ray_engine(cpus=64).__enter__()


def test_claims():
    claim = Claim(cpus=1, gpus=0.25, memory=2**30)
    assert str(claim) == "1 CPU + 0.25 GPU + 1 GiB"
    assert claim.fits({"CPU": 16, "GPU": 1, "memory": 2**35}) == 4
    assert claim.fits({"CPU": 16, "memory": 2**35}) == 0


def test_how_a_worker_died():
    text = """Failure # 1 (occurred at 2026-11-21)
The actor died unexpectedly before finishing this task.
	class_name: ResourceTrainable
	pid: 42
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits."""
    assert how_it_died(text).startswith("The actor is dead because its worker process has died.")
    assert how_it_died("") == "its worker ended"


@pytest.mark.parametrize("stored", [True, False])
def test_the_reason_that_a_worker_leaves(stored, monkeypatch, caplog):
    """Without Ray's internal store an actor keeps it, and one line says so."""
    ray_internals._store.cache_clear()
    if not stored:
        monkeypatch.delattr("ray.experimental.internal_kv._internal_kv_put")
    failure = Failure(kind="MemoryLimit", message="too much")
    kept = ray_internals.keep_last_words()
    ray_internals.leave_last_words("10.0.0.1", 7, failure)
    assert ray_internals.take_last_words("10.0.0.1", 8) is None
    assert ray_internals.take_last_words("10.0.0.1", 7) == failure
    assert ray_internals.take_last_words("10.0.0.1", 7) is None
    assert (kept is None) == stored
    assert len([r for r in caplog.records if r.name == ray_internals.__name__]) == (not stored)
    ray_internals._store.cache_clear()


@pytest.mark.long
def test_a_killed_driver_leaves_a_study_to_go_on_with_and_no_process(killed, tmp_path):
    assert len(killed) > 4
    assert not psutil.wait_procs(killed, timeout=PATIENCE)[1]
    before = toys.attempts(tmp_path)
    records = run(tmp_path, ray_engine(workers=2), toys.Toy(tmp_path), trials=4)
    assert [record.state for record in records] == ["COMPLETE"] * 4
    assert [record.attempt for record in records] == [0] * 4
    again = {line[0]: line[1:4] for line in toys.attempts(tmp_path)[len(before) :]}
    assert all(again[line[0]] == line[1:4] for line in before if line[0] in again)


@pytest.mark.slow
def test_paused_trials_continue_as_with_any_engine(tmp_path):
    found = {}
    for name in ("inline", "ray"):
        folder = tmp_path / name
        folder.mkdir()
        engine = ray_engine() if name == "ray" else engines.create(name, workers=1, threads=1)
        records = search_with_pauses(plan_in(folder), PausingToy(folder), engine)
        found[name] = list(map(line, records))
        assert set(trained(folder).values()) == {1}
    assert {state for _, state, *_ in found["inline"]} == {"COMPLETE", "PRUNED"}
    assert found["ray"] == found["inline"]
