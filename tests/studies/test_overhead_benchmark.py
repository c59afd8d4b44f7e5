"""``benchmarks/overhead.py``: where the workers' time of a finished study went, from its log."""

import importlib
import sys

import pytest
from test_faults import BENCHMARKS


@pytest.fixture
def overhead(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("overhead")


def event(kind, time, phase="search", trial=None, **data):
    return {"kind": kind, "time": time, "phase": phase, "trial": trial, "data": data}


# The second training of trial 2 runs in a new process, in the place of the one that died.
EVENTS = [
    event("study", 90.0, ""),  # an earlier run
    event("start", 91.0, trial=0),
    event("study", 100.0, ""),
    event("phase", 100.0),
    event("start", 101.0, trial=0),
    event("start", 102.0, trial=1),
    event("complete", 111.5, trial=0, seconds=10.0),  # written half a second later
    event("start", 112.0, trial=2),
    event("lost", 114.0, trial=2, message="killed"),
    event("start", 115.0, trial=2),
    event("pruned", 116.0, trial=1, seconds=13.5),
    event("failed", 120.0, trial=2, seconds=4.0),
    event("start", 121.0, "confirm", 0),
    event("complete", 131.0, "confirm", 0, seconds=10.0),
    event("result", 133.0, "test"),
]


def test_the_parts_are_the_whole(overhead):
    found = overhead.overhead(EVENTS)
    assert found.workers == 2
    assert found.training == 10 + 13.5 + 2 + 4 + 10
    assert found.training + sum(found.parts.values()) == 2 * 33
    assert {name: seconds for name, seconds in found.parts.items() if seconds} == {
        "before the first training of search": 2.0,
        "search: workers begin later": 1.0,
        "search: between two trainings": 2.0,
        "search: nothing left to begin": 3.5,
        "before the first training of confirm": 4.0,
        "confirm: nothing left to begin": 10.0,
        "after the last training (test, files)": 4.0,
    }
    assert found.per_cent == pytest.approx(100 * 26.5 / 39.5)
    assert "overhead with 2 workers: 67.09 % (target <= 2.5 %: missed)" in overhead.report(found)


def test_the_wall_time_has_start_and_exit_in_it(overhead):
    found = overhead.overhead(EVENTS, wall=36.0)
    assert found.parts["process start and exit"] == 6.0
    assert found.training + sum(found.parts.values()) == 2 * 36


def test_a_log_without_a_result_is_refused(overhead, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="no finished study"):
        overhead.overhead(EVENTS[:-1])
    with pytest.raises(SystemExit, match="no finished study"):
        overhead.overhead([])
    monkeypatch.setattr(sys, "argv", ["overhead.py", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit, match="No such file"):
        overhead.main()
