"""Limits of one trial: real workers that hang, hoard memory and are ended."""

import os
import time

import psutil
import pytest
from test_engines import run as run_toys
from toy_plans import toy_plan
from worker_toys import Greedy, slow

from studies import engines
from studies.core.trials import Limits
from studies.engines._local import limits as _limits
from studies.engines._local.limits import Watch, memory, over
from studies.engines.local import Local
from studies.ledger.opening import open_search
from studies.storage.leases import Lease
from studies.storage.open import close_storage, open_storage

MIB = 1024**2


@pytest.fixture(autouse=True)
def _no_process_stays():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def run(folder, objective, limits, *, name="local", workers=2, trials=5, listeners=()):
    plan = toy_plan(folder, trials=trials)
    storage = open_storage(plan.storage_url, create=True)
    try:
        engine = engines.create(name, workers=workers, threads=1)
        with engine, open_search(plan, storage, listeners=listeners) as book:
            engine.run(book, objective, limits)
            return book.records()
    finally:
        close_storage(storage)


@pytest.fixture
def leap(monkeypatch):
    """A listener: the clock leaps by an hour when trial 1 has reported; no other trial is long."""
    leaps, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + leaps[0])

    def listen(event):
        if event.kind == "report" and event.trial == 1:
            leaps[0] = 3600.0

    return listen


@pytest.mark.parametrize("how", ["hang", "hang_in_c", "ignore_everything", "report_for_ever"])
def test_a_trial_that_takes_too_long_is_ended(tmp_path, how, leap):
    records = run(tmp_path, Greedy(how), Limits(seconds=1800.0), workers=1, listeners=[leap])
    assert [r.state for r in records] == ["COMPLETE", "FAIL", *["COMPLETE"] * 3]
    failure = records[1].failure
    assert failure.kind == "TimeLimit"
    assert "the limit is 1800 s (engine.trial_seconds)" in failure.message
    if how != "report_for_ever":
        assert "after report 1;" in failure.message
    assert 3600.0 <= records[1].seconds < 4200.0  # and not the 600 s for which it would have hung
    assert records[1].attempt == 0


@pytest.mark.parametrize("how", ["hoard", "hoard_in_a_child"])
def test_a_trial_that_takes_too_much_memory_is_ended(tmp_path, how):
    records = run(tmp_path, Greedy(how), Limits(memory=400 * MIB))
    assert [r.state for r in records] == ["COMPLETE", "FAIL", *["COMPLETE"] * 3]
    failure = records[1].failure
    assert failure.kind == "MemoryLimit"
    assert "the limit is 0.39 GiB (engine.trial_memory_gib)" in failure.message
    used = float(failure.message.split("ended with ")[1].split(" GiB")[0])
    assert 0.39 <= used < 2


def test_inline_notices_at_the_next_report(tmp_path, leap):
    limits = Limits(seconds=1800.0)
    records = run(tmp_path, Greedy("report_for_ever"), limits, name="inline", listeners=[leap])
    assert [r.state for r in records] == ["COMPLETE", "FAIL", *["COMPLETE"] * 3]
    assert records[1].failure.kind == "TimeLimit"


def test_calls_have_no_limits():
    with Local(workers=1, threads=1) as engine:
        assert engines.call(engine, slow, [(0.5,)]) == [0.5]


def test_nothing_is_measured_without_limits(monkeypatch, tmp_path):
    monkeypatch.setattr(_limits, "memory", lambda pid: 1 / 0)
    records = run(tmp_path, Greedy(""), Limits(seconds=600.0), trials=1)
    assert [r.state for r in records] == ["COMPLETE"]
    assert Watch(Limits()).wait([0.0]) is None
    assert Watch(Limits()).look([(1, 0.0, 0)]) == [None]


def test_when_to_look(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(_limits.time, "monotonic", lambda: now[0])
    watch = Watch(Limits(seconds=10))
    assert watch.wait([]) is None
    assert watch.wait([95.0, 97.0]) == 5.0
    assert watch.wait([80.0]) == 0.0
    both = Watch(Limits(seconds=10, memory=2**60))
    assert both.wait([99.0]) == 0.0  # memory has not been looked at
    assert both.look([(os.getpid(), 99.0, 0)]) == [None]
    assert both.wait([99.0]) == pytest.approx(_limits.POLL)
    monkeypatch.setattr(_limits, "memory", lambda pid: 2**61)
    assert both.look([(os.getpid(), 99.0, 0)]) == [None]  # too early for another look
    now[0] += _limits.POLL
    assert both.look([(os.getpid(), 99.0, 0)])[0].kind == "MemoryLimit"


def test_what_a_limit_says():
    assert over(Limits(seconds=2), os.getpid(), 1.9, 0) is None
    failure = over(Limits(seconds=2), os.getpid(), 2.04, 0)
    assert failure.message == (
        "ended after 2.0 s before its first report; the limit is 2 s (engine.trial_seconds)"
    )
    assert memory(os.getpid()) > 10 * MIB
    assert memory(2**22 + 1) == 0  # gone


def test_a_clock_that_is_set_does_no_harm(tmp_path, monkeypatch):
    """Limits, leases and durations are of clocks that nobody sets."""
    real, jumps = time.time, [0]

    def jumping():
        jumps[0] += 1
        return real() + (1e8 if jumps[0] % 2 else -1e8)

    monkeypatch.setattr(time, "time", jumping)
    records = run_toys(
        tmp_path,
        Local(workers=2, threads=1),
        Greedy(""),
        trials=5,
        sqlite=True,
        stop={"seconds": 300.0},
    )
    assert [r.state for r in records] == ["COMPLETE", "FAIL", *["COMPLETE"] * 3]
    assert records[1].failure.kind == "AttributeError"  # Greedy's own, of how=""
    assert all(0 <= r.seconds < 1e6 for r in records)
    assert Lease.of_this_process().live
    assert jumps[0] > 1
