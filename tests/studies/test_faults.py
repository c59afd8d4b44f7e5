"""Whole studies of real processes, killed by kill -9; the full form is benchmarks/faults.py."""

import importlib
import random
import signal
from dataclasses import replace
from pathlib import Path

import programs
import psutil
import pytest
from test_engines import run
from waiting import until
from worker_toys import Crash

from studies.core.event_log import to_line
from studies.core.events import Event
from studies.engines.local import Local

pytestmark = pytest.mark.slow
LONG = pytest.mark.long
BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def faults():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        module = importlib.import_module("faults")

        def start(folder, die="", *options):
            readings = {"TOY_READINGS": str(module.readings_of(folder))}
            words = ("--folder", folder, "--die", die, *options)
            return programs.start_script(module.PROGRAM, *words, env=readings)

        patch.setattr(module, "start", start)
        yield module


@pytest.fixture(scope="module")
def whole(faults, tmp_path_factory):
    return faults.run_whole(tmp_path_factory.mktemp("whole"))


def is_well(faults, folder, whole, seen=()):
    """Resume the study and compare it with the one without faults."""
    code, _, errors = faults.finish(faults.start(folder))
    assert code == 0, errors
    assert faults.compare(seen, faults.read(folder), whole.trials) == []
    assert faults.read_config(folder) == whole.config


def workers_of(pid):
    """Workers know their supervisor's process, also when it is gone."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if "studies.engines._local.worker" in line and str(pid) in line]


@pytest.mark.parametrize(
    "kind", [pytest.param("worker", marks=LONG), "both", pytest.param("sqlite", marks=LONG)]
)
def test_killed_at_a_random_moment(faults, whole, tmp_path, kind):
    chance = random.Random(kind)
    verdict = faults.run_once(kind, tmp_path, chance, whole, most=1)
    assert verdict.problems == []
    assert verdict.finished == len(whole.trials.results)


@LONG
def test_killed_while_it_confirms(faults, whole, tmp_path):
    process = faults.start(tmp_path, "confirm:2")
    assert faults.finish(process)[0] == -signal.SIGKILL
    until(lambda: not workers_of(process.pid))
    seen = faults.read(tmp_path)
    assert any(name == "toy.confirm" for name, _ in seen.results)
    assert len(seen.results) < len(whole.trials.results)
    is_well(faults, tmp_path, whole, [seen])


def test_killed_in_the_middle_of_the_export(faults, whole, tmp_path):
    assert whole.counts["export"] == 4  # draft and renaming of two files
    for step in (2, 3):
        code, _, _ = faults.finish(faults.start(tmp_path, f"export:{step}"))
        assert code == -signal.SIGKILL
        for name in ("best_config.toml", "report.md"):  # whole, or not there
            path = tmp_path / name
            assert not path.exists() or path.read_text(encoding="utf-8").endswith("\n")
    is_well(faults, tmp_path, whole)
    assert not list(tmp_path.glob(".saving-*"))


@LONG
def test_two_supervisors_at_once(faults, whole, tmp_path):
    first, second = faults.start(tmp_path), faults.start(tmp_path)
    ends = [faults.finish(process) for process in (first, second)]
    codes = sorted(code for code, _, _ in ends)
    # The second finds the study taken, or, should it come late, finished.
    assert codes in ([0, 0], [0, 1])
    for code, _, errors in ends:
        if code:
            assert "is being run by process" in errors and "Traceback" not in errors
    is_well(faults, tmp_path, whole)


@pytest.mark.parametrize(("how", "name"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_worker_that_crashes(tmp_path, how, name):
    records = run(tmp_path, Local(workers=2, threads=1), Crash(how), trials=5, retries=1)
    assert [r.state for r in records] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert records[1].attempt == 1 and records[1].curve == {1: 0.5, 2: 0.6}
    assert records[2].failure.kind == "WorkerLost"
    assert f"was killed by {name}" in records[2].failure.message
    if how == "segfault":  # where it was, as Python's own fault handler wrote it
        assert "Segmentation fault" in records[2].failure.traceback


def test_the_comparison_sees_what_is_wrong(faults):
    result = ("COMPLETE", {"x": 1}, 7, 0.5, {1: 0.5})
    other = ("COMPLETE", {"x": 2}, 8, 0.4, {1: 0.4})
    whole = faults.Trials({("s", 0): result, ("s", 1): other}, {("s", 0): 1, ("s", 1): 2})

    def sorts(seen=(), **changes):
        return [sort for sort, _ in faults.compare(seen, replace(whole, **changes), whole)]

    assert sorts() == sorts([whole]) == []
    assert sorts(open={("s", 2): "RUNNING"}) == ["unfinished"]
    assert sorts([whole], results={("s", 0): result}) == ["unfinished", "lost"]
    assert sorts([whole], ends={("s", 0): 1, ("s", 1): 3}) == ["changed"]
    assert sorts(results={("s", 0): result, ("s", 1): result}) == ["changed", "double"]


def test_the_comparison_of_a_fork_sees_what_is_wrong(faults):
    results = {("toy", n): ("COMPLETE", {"x": n}, n, 0.5, {1: 0.5}) for n in (0, 1)}
    whole = faults.Trials(results, dict.fromkeys(results, 1))
    more = {("toy-wide", 1 - n): result for (_, n), result in results.items()}
    carried = {0: 1, 1: 0}

    def sorts(source=whole, **changes):
        fork = replace(faults.Trials(more, carried=carried), **changes)
        return [sort for sort, _ in faults.compare_fork(fork, source, whole)]

    assert sorts() == []
    assert sorts(carried={0: 1}) == ["lost"]
    assert sorts(carried={0: 1, 1: 1}) == ["lost", "double", "changed"]
    assert sorts(open={("toy-wide", 2): "RUNNING"}) == ["unfinished"]
    assert sorts(faults.Trials()) == ["unfinished", "lost", "lost"]


def test_the_comparison_of_the_event_log_sees_what_is_wrong(faults, tmp_path):
    log = tmp_path / "events.jsonl"
    ends = [("search", "complete", 0), ("confirm", "failed", 0), ("test", "tested", 0)]

    def found(ends, **more):
        lines = (
            Event(kind=kind, phase=phase, trial=trial, data={}, time=0.0)
            for phase, kind, trial in ends
        )
        log.write_bytes(b"".join(map(to_line, lines)))
        trials = faults.Trials({("toy", 0): 1, ("toy.confirm", 0): 1}, **more)
        return len(faults.compare_events(log, trials))

    assert found(ends) == 0
    assert found([*ends, *ends[:1]]) == 1
    assert found(ends[1:]) == 1 and found(ends[:1]) == 2
    assert found(ends[1:], carried={0: 3}) == 0
