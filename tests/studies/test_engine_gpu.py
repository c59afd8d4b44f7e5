"""Sharing of GPUs: the arithmetic, and the environment of real workers. There is no GPU here."""

import os
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from test_engines import run
from worker_toys import Seen

from mnist_core.errors import ConfigError
from objectives.base import Task
from objectives.own import own
from objectives.own.run_trial import OwnObjective
from search_spaces.space import Float, Space
from studies import engines
from studies.cli import options
from studies.engines._local.gpu_sharing import (
    CONTEXT,
    HEADROOM,
    SAMPLES,
    SPARE,
    GpuUse,
    Growth,
    Sharing,
    fitting,
    workers,
)
from studies.engines._local.worker import gpu_use
from studies.engines.base import Resources
from studies.planning import machine, plan, resources
from studies.spec import StudySpec

GIB = 1024**3


PLENTY = {"host": 1 * GIB, "free": 1000 * GIB}


def use(total=24, free=20, held=1, peak=2):
    return GpuUse(
        total=int(total * GIB), free=int(free * GIB), held=int(held * GIB), peak=int(peak * GIB)
    )


@pytest.mark.parametrize(
    ("measured", "fit"),
    [
        (use(), 6),  # 20 + 1 + 0.75 - 1.2 = 20.55 GiB; 2 * 1.1 + 0.75 = 2.95 GiB each
        (use(peak=0.1), 23),
        (use(peak=10), 1),
        (use(peak=23), 1),  # one is there, whatever it takes
        (use(free=3), 1),  # others have the rest
        (use(total=139, free=138, held=0.5, peak=1), 71),
    ],
)
def test_how_many_fit(measured, fit):
    assert fitting(measured) == fit


@given(
    total=st.integers(1, 200),
    free=st.floats(0, 1),
    peak=st.floats(0, 1),
    gpus=st.integers(1, 8),
    most=st.integers(0, 64),
)
def test_what_fits_does_fit(total, free, peak, gpus, most):
    measured = use(total, total * free * (1 - peak), total * peak / 2, total * peak)
    n = fitting(measured)
    each = HEADROOM * measured.peak + CONTEXT
    ours = measured.free + measured.held + CONTEXT - SPARE * measured.total
    assert n >= 1 and (n == 1 or n * each <= ours) and (n + 1) * each > ours
    assert gpus <= workers(measured, gpus=gpus, most=most) <= max(gpus, most)


def test_workers_take_the_gpus_in_turn():
    sharing = Sharing(["0", "GPU-3f"], most=5)
    assert [sharing.gpu(index) for index in range(5)] == ["0", "GPU-3f", "0", "GPU-3f", "0"]
    assert sharing.room(use(), 2, **PLENTY) == 3  # not more than 5
    assert sharing.room(use(), 2, **PLENTY) == 0  # once
    assert Sharing([], most=0).gpu(3) is None
    assert Sharing([], most=0).room(use(), 1, **PLENTY) == 0


@pytest.mark.parametrize(("free", "more"), [(0, 0), (3, 0), (4, 1), (7, 2), (100, 7)])
def test_workers_need_main_memory_too(free, more):
    sharing = Sharing([], most=8)
    measured = use(total=139, free=138, held=0.5, peak=1)
    assert sharing.room(measured, 1, host=3 * GIB, free=free * GIB) == more


def together(growth, seconds, count, *, crowded=True):
    return [growth.reported(seconds, crowded=crowded) for _ in range(count)]


@pytest.mark.parametrize(
    ("seconds", "back"),
    [(1.0, 0), (3.9, 0), (4.0, 1), (9.0, 1)],  # four workers; one alone took a second
)
def test_more_workers_must_be_faster(seconds, back):
    growth = Growth()
    assert together(growth, 1.0, 5, crowded=False) == [0] * 5
    growth.grown(1, 4)
    assert together(growth, 50.0, 9, crowded=False) == [0] * 9  # some still load
    said = together(growth, seconds, 4 * SAMPLES)
    assert said[:-1] == [0] * (4 * SAMPLES - 1) and said[-1] == back
    assert together(growth, 99.0, 100) == [0] * 100  # once


def test_free_memory_knows_the_limit_of_a_container(tmp_path):
    whole = machine.free_memory(tmp_path)
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max")
    (group / "memory.current").write_text("1000")
    assert machine.free_memory(tmp_path) > 0 and whole > 2**20
    (group / "memory.max").write_text(str(2**20))
    assert machine.free_memory(tmp_path) == 2**20 - 1000


def test_the_last_worker_of_a_gpu_stays():
    sharing = Sharing(["0", "1"], most=0)
    assert sharing.retire(0, 4) and sharing.retired(0)
    assert not sharing.retire(2, 4)
    assert sharing.retire(1, 4) and not sharing.retire(3, 4)
    assert not Sharing([], most=0).retire(0, 1)
    assert Sharing([], most=0).retire(0, 2)


@dataclass
class TwoGpus:
    """As much of ``torch.cuda`` as a worker asks, the training being on the second GPU."""

    broken: bool = False

    def is_initialized(self):
        return True

    def device_count(self):
        return 2

    def max_memory_reserved(self, gpu):
        return (0, 3 * GIB)[gpu]

    def memory_reserved(self, gpu):
        return (0, 1 * GIB)[gpu]

    def mem_get_info(self, gpu):
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return [(70 * GIB, 80 * GIB), (20 * GIB, 24 * GIB)][gpu]


def test_memory_is_that_of_the_gpu_that_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=TwoGpus()))
    assert gpu_use() == use(total=24, free=20, held=1, peak=3)


def test_a_gpu_that_failed_says_nothing_of_its_memory(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=TwoGpus(broken=True)))
    assert gpu_use() is None


def create(workers=1, **resources):
    return engines.create("local", workers=workers, threads=1, resources=Resources(**resources))


def test_each_worker_sees_its_gpu(tmp_path):
    records = run(tmp_path, create(4, gpus=("2", "5")), Seen(), trials=16)
    by_worker = {r.attributes["pid"]: r.attributes["gpu"] for r in records}
    # How many of the four come to a trial is the machine's affair.
    assert set(by_worker.values()) <= {"2", "5"} and 1 <= len(by_worker) <= 4
    assert len({(r.attributes["pid"], r.attributes["gpu"]) for r in records}) == len(by_worker)


def test_without_gpus_workers_see_what_we_see(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    (record,) = run(tmp_path, create(), Seen(), trials=1)
    assert record.attributes["gpu"] == "7"


def test_workers_are_added_when_the_first_trial_is_measured(tmp_path):
    engine, count = create(most=3), []
    objective = Seen(measured=use())

    def note(event):
        if event.kind in ("start", "complete"):
            count.append(len(engine.pids))

    records = run(tmp_path, engine, objective, trials=8, listeners=[note])
    assert [r.state for r in records] == ["COMPLETE"] * 8
    assert count[:2] == [1, 1] and max(count) == 3


def test_workers_that_make_it_no_faster_are_ended_again(tmp_path):
    """They take turns, as kernels do on a GPU that is full, and each is slower for the others."""
    engine, there = create(most=3), []
    (tmp_path / "gpu").mkdir()
    objective = Seen(measured=use(), queue=tmp_path / "gpu")
    records = run(
        tmp_path,
        engine,
        objective,
        trials=15,
        listeners=[lambda event: there.append(len(engine.pids))],
    )
    assert [(r.state, r.attempt) for r in records] == [("COMPLETE", 0)] * 15
    assert max(there) == 3 and there[-1] == 1


def test_none_is_added_where_none_fits(tmp_path):
    engine, count = create(most=3), []
    run(
        tmp_path,
        engine,
        Seen(measured=use(peak=20)),
        trials=5,
        listeners=[lambda event: count.append(len(engine.pids))],
    )
    assert max(count) == 1


def test_out_of_memory_on_a_shared_gpu_costs_a_worker_and_no_trial(tmp_path):
    engine, events = create(2, gpus=("0",)), []
    objective = Seen(measured=use(), scarce=(1,))
    records = run(tmp_path, engine, objective, trials=5, listeners=[events.append])
    states = [r.state for r in records]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    lost = [e for e in events if e.kind == "lost"]
    assert [e.data["kind"] for e in lost] == ["OutOfMemory"]  # then it had the GPU for itself
    assert records[1].failure.kind == "OutOfMemory" and records[1].attempt == 1


def test_out_of_memory_on_a_cpu_is_the_trials_own(tmp_path):
    records = run(tmp_path, create(2), Seen(scarce=(1,)), trials=3)
    assert records[1].failure.kind == "OutOfMemory" and records[1].attempt == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
@pytest.mark.parametrize("affinity", [True, False])
def test_affinity_can_be_turned_off_and_stays_inside_what_we_have(tmp_path, affinity):
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        pytest.skip("one core cannot be divided")
    records = run(tmp_path, create(len(ours), affinity=affinity), Seen(), trials=12)
    seen = {tuple(r.attributes["cores"]) for r in records}
    if affinity:
        assert all(len(cores) == 1 and cores[0] in ours for cores in seen)
    else:
        assert seen == {tuple(ours)}


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [(None, 2, ("0", "1")), ("3,5", 2, ("3", "5")), ("GPU-a, GPU-b", 2, ("GPU-a", "GPU-b"))],
)
def test_names_of_gpus(monkeypatch, visible, count, names):
    import torch

    monkeypatch.setattr(machine, "device", lambda name: "cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert machine.gpus("auto", environment) == names
    assert machine.gpus("cuda:1", environment) == ()


def test_workers_auto():
    assert options.workers("auto") == 0
    assert options.workers("3") == 3
    with pytest.raises(typer.BadParameter, match="'many' is neither a number nor 'auto'"):
        options.workers("many")


def test_no_gpus_here(monkeypatch):
    monkeypatch.setattr(machine, "device", lambda name: "cpu")
    assert machine.gpus("auto") == ()


@pytest.mark.parametrize(
    ("cores", "threads", "tasks", "gpus", "memory", "shared"),
    [
        (16, 0, 60, 1, 100, (1, 2, 8)),
        (4, 0, 60, 1, 100, (1, 1, 4)),
        (16, 4, 60, 1, 100, (1, 4, 4)),
        (16, 0, 60, 4, 100, (4, 2, 8)),
        (64, 0, 60, 12, 100, (12, 5, 12)),
        (16, 0, 2, 4, 100, (2, 8, 2)),
        (1, 0, 60, 2, 100, (1, 1, 1)),
        (16, 0, 60, 4, 10, (3, 5, 3)),
        (16, 0, 60, 1, 1, (1, 16, 1)),
    ],
)
def test_shares_with_gpus(cores, threads, tasks, gpus, memory, shared):
    found = resources.share_gpus(
        available=cores, threads=threads, tasks=tasks, gpus=gpus, memory=memory * GIB
    )
    assert found == shared
    _, each, most = found
    assert each * most <= cores


def test_the_plan_on_gpus(monkeypatch):
    monkeypatch.setattr(machine, "device", lambda name: "cpu" if name == "cpu" else "cuda:0")
    monkeypatch.setattr(machine, "gpus", lambda name: ("0", "1") if name == "auto" else ())
    monkeypatch.setattr(machine, "cores", lambda: 16)
    monkeypatch.setattr(machine, "free_memory", lambda: 100 * GIB)
    made = plan.resolve("optim_search", sets={"device": "auto"})
    assert (made.workers, made.threads, made.most_workers, made.gpus) == (2, 2, 8, ("0", "1"))
    made = plan.resolve("optim_search", sets={"device": "auto", "engine.workers": 4})
    assert (made.workers, made.threads, made.most_workers, made.gpus) == (4, 4, 0, ("0", "1"))
    made = plan.resolve("optim_search", sets={"device": "cuda:1"})
    assert (made.workers, made.most_workers, made.gpus) == (1, 8, ())
    made = plan.resolve("optim_search", sets={"device": "cpu"})
    assert (made.workers, made.most_workers, made.gpus) == (8, 0, ())
    with pytest.raises(ConfigError):
        plan.resolve("optim_search", sets={"device": "auto", "engine.workers": 17})


def its_gpu(params):
    return {"score": 0.5, "gpu": float(os.environ["CUDA_VISIBLE_DEVICES"])}


def test_workers_with_objectives_of_ones_own_take_the_gpus_in_turn_as_well():
    objective = OwnObjective(own=own(its_gpu), metric="score")
    task = Task(number=0, params={}, seed=0)
    with create(2, gpus=("2", "5")) as engine:
        outcomes = engines.call(engine, _run_own, [(objective, task)] * 8)
    assert {outcome.metrics["gpu"] for outcome in outcomes} == {2.0, 5.0}


def _run_own(objective, task):
    time.sleep(0.3)  # so that the other worker gets a call, too
    return objective(task, lambda step, metrics: None)


def test_the_plan_of_an_own_objective_on_gpus(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda name: ("0", "1") if name == "auto" else ())
    monkeypatch.setattr(machine, "cores", lambda: 4)
    spec = StudySpec(
        name="mine", goal="g", space=Space({"x": Float(0.0, 1.0)}), objective=its_gpu, trials=9
    )
    made = plan.resolve(spec, sets={})
    assert (made.workers, made.gpus, made.adapter.device) == (4, ("0", "1"), "cpu")
    assert plan.resolve(spec, sets={"engine.name": "ray"}).gpus == ()
