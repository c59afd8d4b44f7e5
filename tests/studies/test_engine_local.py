"""The local engine: real processes, really killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import connection
from pathlib import Path

import optuna
import programs
import psutil
import pytest
import toys
from test_engines import run
from toy_plans import toy_plan
from waiting import PATIENCE, until
from worker_toys import Parent, Together, Unloadable

from mnist_core.errors import UserError
from studies.engines import local as local_engine
from studies.engines._local.worker_start import shares
from studies.engines.local import Local, WorkerStartError
from studies.ledger import write_queue
from studies.ledger.opening import open_search
from studies.storage.leases import StudyInUse
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    yield
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    if files:
        assert len(os.listdir("/proc/self/fd")) <= files


def local(workers=2):
    return Local(workers=workers, threads=1)


def test_workers_work_side_by_side(tmp_path):
    met = tmp_path / "met"
    met.mkdir()
    records = run(tmp_path, local(4), Together(met), trials=4)
    assert [r.state for r in records] == ["COMPLETE"] * 4
    assert len({file.name.split()[1] for file in met.iterdir()}) == 4


def test_a_killed_worker_costs_an_attempt_not_a_trial(tmp_path):
    toy = toys.Toy(tmp_path, sleep=0.1)

    def kill(event):
        if event.kind == "report" and event.trial == 2 and event.data["step"] == 2 and not killed:
            killed.append(engine.pids)
            os.kill(pids[2], signal.SIGKILL)

    def note(event):
        if event.kind == "start":
            pids[event.trial] = event.data["pid"]

    killed, pids, engine = [], {}, local()
    records = run(tmp_path, engine, toy, trials=6, listeners=[note, kill])
    assert [r.state for r in records] == ["COMPLETE"] * 6
    assert [r.attempt for r in records] == [0, 0, 1, 0, 0, 0]
    lines = [line for line in toys.attempts(tmp_path) if line[0] == "2"]
    assert [line[1] for line in lines] == ["0", "1"]
    assert lines[0][2:4] == lines[1][2:4]  # seed and params
    assert len(toys.attempts(tmp_path)) == 7


def test_deaths_losses_and_what_cannot_be_sent(tmp_path):
    toy = toys.Toy(tmp_path, dies=(1, 3), deaths=99, exits=(2,), unpicklable=(4,))
    events = []
    records = run(tmp_path, local(), toy, trials=6, retries=1, listeners=[events.append])
    assert [r.state for r in records] == ["COMPLETE", "FAIL", "FAIL", "FAIL", "FAIL", "COMPLETE"]
    kinds = [r.failure.kind for r in records[1:5]]
    assert kinds == ["WorkerLost", "WorkerLost", "WorkerLost", "BadOutcome"]
    assert "killed by SIGKILL" in records[1].failure.message
    assert "exit code 7" in records[2].failure.message
    assert records[1].failure.traceback == "dying words"
    assert [e.trial for e in events if e.kind == "lost"].count(1) == 1


@pytest.mark.parametrize(
    ("how", "message", "note"),
    [
        ("import", "ModuleNotFoundError: No module named 'no_such_module'", "load_badly"),
        ("exit", "left with exit code 3", "the reason why"),
    ],
)
def test_workers_that_cannot_start_end_the_run(tmp_path, how, message, note):
    with pytest.raises(WorkerStartError, match=message) as caught:
        run(tmp_path, local(), Unloadable(how), trials=6)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert note in "".join(caught.value.__notes__)


def test_an_objective_that_cannot_be_sent(tmp_path):
    with pytest.raises(WorkerStartError, match="lambda"):
        run(tmp_path, local(), lambda task, report: None, trials=6)


def test_what_a_dead_worker_started_is_ended_too(tmp_path):
    (record,) = run(tmp_path, local(), Parent(tmp_path), trials=1, retries=0)
    assert record.failure.message.startswith("lost once, given up")
    child = int((tmp_path / "child").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_workers_live_through_several_runs(tmp_path):
    pids = []
    with local() as engine:
        for trials in (4, 8):
            plan = toy_plan(tmp_path, trials=trials)
            storage = open_storage(plan.storage_url, create=True)
            with open_search(plan, storage) as book:
                engine.run(book, toys.Toy(tmp_path))
                assert book.done == trials
            close_storage(storage)
            pids.append(engine.pids)
    assert pids[0] == pids[1] and len(pids[0]) == 2
    assert {int(line[-1]) for line in toys.attempts(tmp_path)} <= set(pids[0])


@pytest.mark.parametrize("now", [False, True])
def test_stopping(tmp_path, monkeypatch, now):
    monkeypatch.setattr(write_queue, "_APART", 0.0)  # on a slow disk, too, each report is written
    engine = local()

    stopped, late = [], []

    def stop(event):
        if event.kind == "start" and stopped:
            late.append(event.trial)
        if event.kind == "report" and event.trial == 3:
            engine.stop(now=now)
            stopped.append(event.trial)

    records = run(tmp_path, engine, toys.Toy(tmp_path), trials=4000, listeners=[stop])
    states = [r.state for r in records]
    assert late == [] and 4 <= len(states) < 4000
    if now:
        assert states[3] == "WAITING" and states.count("WAITING") <= 2
    else:
        assert set(states) == {"COMPLETE"}
    records = run(tmp_path, local(), toys.Toy(tmp_path), trials=len(states) + 4)
    assert [r.state for r in records] == ["COMPLETE"] * (len(states) + 4)
    assert {r.attempt for r in records} == {0}


def test_stopping_wakes_a_sleeping_supervisor(tmp_path, monkeypatch):
    monkeypatch.setattr(local_engine, "_PULSE", 1000.0)  # it does not wake up by itself
    engine, asked = local(), []

    def stop():
        asked.append(time.monotonic())
        engine.stop(now=True)

    timer = threading.Timer(0.5, stop)

    def start_timer(event):
        if event.kind == "start" and event.trial == 0:
            timer.start()

    toy = toys.Toy(tmp_path, sleep=600.0)
    records = run(tmp_path, engine, toy, trials=12, listeners=[start_timer])
    timer.join()
    assert time.monotonic() - asked[0] < 300  # the trials' first report comes after 600
    assert {r.state for r in records} == {"WAITING"}


def test_an_idle_supervisor_sleeps(tmp_path, monkeypatch):
    looks = []

    def wait(handles, timeout):
        looks.append(timeout)
        return connection.wait(handles, timeout)

    monkeypatch.setattr(local_engine, "wait", wait)
    run(tmp_path, local(workers=3), toys.Toy(tmp_path, steps=1, sleep=1.0), trials=1)
    assert 0 < len(looks) < 100  # asking all the time: many thousands


def test_no_two_workers_share_a_core_where_there_are_enough(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 4, 6}, raising=False)
    assert shares(2, 2) == [[0, 2], [4, 6]]
    assert shares(4, 1) == [[0], [2], [4], [6]]
    assert shares(1, 4) == [[]]
    assert shares(2, 1) == [[], []]  # others may use the rest: the kernel knows better
    assert shares(8, 1) == [[]] * 8


# A supervisor of its own.


@pytest.fixture
def supervise(tmp_path):
    """Start ``small_run.py``; kill it at the end of the test."""
    processes = []

    def start(engine="local", trials=12, *, sleep=0.0, holds=2**31, ready=True, forked=True):
        words = [TESTS / "small_run.py", tmp_path, engine, trials, sleep, holds]
        options = {"stdout": subprocess.PIPE, "stderr": None, "cwd": tmp_path}
        if forked:
            process = programs.start_script(*words, **options)
        else:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, *map(str, words)]
            process = subprocess.Popen(command, text=True, env=environment, **options)
        processes.append(process)
        if ready:
            assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def read(folder):
    storage = open_storage(toy_plan(folder).storage_url, create=False)
    try:
        return read_trials(optuna.load_study(study_name="toy", storage=storage))
    finally:
        close_storage(storage)


def worker_pids(folder):
    return {int(line[-1]) for line in toys.attempts(folder)}


@pytest.mark.parametrize("engine", ["local", "inline"])
def test_a_killed_supervisor_loses_nothing(tmp_path, supervise, engine):
    process = supervise(engine, holds=5)
    until(lambda: len(toys.attempts(tmp_path)) == (7 if engine == "local" else 6))
    process.kill()
    process.wait()
    gone = worker_pids(tmp_path) - {os.getpid()}
    until(lambda: not any(psutil.pid_exists(pid) for pid in gone))
    states = {record.state for record in read(tmp_path)}
    assert "RUNNING" not in states
    assert "WAITING" in states

    records = run(tmp_path, local(), toys.Toy(tmp_path), trials=12)
    assert [r.number for r in records] == list(range(12))
    assert [r.state for r in records] == ["COMPLETE"] * 12
    assert not any(record.attempt for record in records)  # no fault of the trials
    lines = toys.attempts(tmp_path)
    # At most what ran was run again; a worker may not have begun its trial when all was killed.
    assert 12 <= len(lines) <= 12 + (2 if engine == "local" else 1)
    for number in range(12):
        mine = [line[2:4] for line in lines if line[0] == str(number)]
        assert all(one == mine[0] for one in mine)


def test_workers_do_not_run_the_main_program(tmp_path, supervise):
    process = supervise(trials=4, forked=False)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert (tmp_path / "mains").read_text() == "x"


def test_a_second_supervisor_is_refused_in_one_line(tmp_path, supervise):
    first = supervise(holds=1)
    until(lambda: len(toys.attempts(tmp_path)) == 3)
    second = supervise(ready=False)
    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 1
    assert output.startswith("error: study 'toy' is being run by process")
    assert output.count("\n") == 1
    plan = toy_plan(tmp_path)
    storage = open_storage(plan.storage_url, create=False)
    with pytest.raises(StudyInUse, match=str(first.pid)):
        open_search(plan, storage)
    close_storage(storage)
    assert "RUNNING" in {record.state for record in read(tmp_path)}


def test_ctrl_c_once_finishes_what_runs(tmp_path, supervise):
    process = supervise(trials=4000, sleep=0.1)
    until(lambda: len(toys.attempts(tmp_path)) >= 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    records = read(tmp_path)
    assert {record.state for record in records} == {"COMPLETE"}
    assert 3 <= len(records) < 4000


def test_ctrl_c_twice_stops_at_once(tmp_path, supervise):
    process = supervise(holds=0)
    until(lambda: len(toys.attempts(tmp_path)) == 2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked 1\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)  # the trials would take an hour
    assert process.returncode == 0
    assert [record.state for record in read(tmp_path)] == ["WAITING"] * 2
    assert not any(psutil.pid_exists(pid) for pid in worker_pids(tmp_path))


def test_readers_are_never_in_the_way(tmp_path):
    """A dashboard reads all the time, through connections of its own, also while trials wait."""
    plan = toy_plan(tmp_path, trials=10, sqlite=True)
    problems, done, reads = [], threading.Event(), [0]

    def watch():
        while not done.is_set():
            try:
                if (tmp_path / "study.db").exists():
                    storage = optuna.storages.RDBStorage(plan.storage_url)
                    for summary in optuna.get_all_study_summaries(storage):
                        optuna.load_study(
                            study_name=summary.study_name, storage=storage
                        ).get_trials()
                        reads[0] += 1
                        if reads[0] > 3:
                            (tmp_path / "go").touch()
                    storage.remove_session()
                    storage.engine.dispose()
                time.sleep(0.02)
            except Exception as error:
                problems.append(error)

    open_storage_once = open_storage(plan.storage_url, create=True)
    close_storage(open_storage_once)
    reader = threading.Thread(target=watch)
    reader.start()
    try:
        records = run(tmp_path, local(), toys.Toy(tmp_path, waits=True), trials=10, sqlite=True)
    finally:
        done.set()
        reader.join()
    assert [r.state for r in records] == ["COMPLETE"] * 10
    assert not problems
