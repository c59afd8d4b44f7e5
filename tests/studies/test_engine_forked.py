"""Workers are forked from a process that has the imports done, and are the supervisor's own."""

import os
import signal
import sys
import threading
from dataclasses import dataclass

import psutil
import pytest
from test_engines import run

from objectives.base import Outcome
from studies.engines._local import worker_start
from studies.engines.local import Local, WorkerStartError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not worker_start._forks(), reason="here each worker is started by itself"),
]
FAMILY = ("ppid", "sid", "pgid", "imported", "threads", "omp")


@dataclass(frozen=True)
class Family:
    """Says of a worker who it is; at some trials it dies."""

    dies: tuple[int, ...] = ()

    def __call__(self, task, report):
        if task.number in self.dies and task.attempt == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        found = [os.getppid(), os.getsid(0), os.getpgid(0), "wave" in sys.modules]
        found += [threading.active_count(), os.environ["OMP_NUM_THREADS"]]
        attributes = {"pid": os.getpid(), **dict(zip(FAMILY, found, strict=True))}
        return Outcome(metrics={"val_accuracy": 0.5}, attributes=attributes)


def local(**options):
    return Local(workers=2, threads=1, preload=["wave"], **options)


def test_a_worker_is_a_child_of_the_supervisor_in_a_session_of_its_own(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for record in run(tmp_path, local(), Family(), trials=4):
        own, pid = record.attributes, record.attributes["pid"]
        assert [own[name] for name in FAMILY] == [os.getpid(), pid, pid, True, 1, "1"]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_workers_outlive_their_fork_server_and_the_next_ones_have_another(tmp_path):
    servers = []

    class Noted(worker_start.ForkServer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            servers.append(self._process.pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_start, "ForkServer", Noted)
        engine = Local(workers=1, threads=1)

        def kill(event):
            if event.kind == "start" and event.trial == 1 and len(servers) == 1:
                os.kill(servers[0], signal.SIGKILL)

        objective = Family(dies=(2,))
        records = run(tmp_path, engine, objective, trials=4, listeners=[kill])
    pids = [record.attributes["pid"] for record in records]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert [record.attempt for record in records] == [0, 0, 1, 0]
    assert len(servers) == 2


def test_a_fork_server_that_dies_again_and_again_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_start.sys, "executable", "/bin/false")
    with pytest.raises(WorkerStartError, match="the process that forks them has died"):
        run(tmp_path, Local(workers=1, threads=1), Family(), trials=2)


def test_where_nothing_can_be_forked_workers_start_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_start, "_forks", lambda: False)
    records = run(tmp_path, local(), Family(dies=(1,)), trials=4)
    assert [record.state for record in records] == ["COMPLETE"] * 4
    assert records[1].attempt == 1
    for record in records:
        own, pid = record.attributes, record.attributes["pid"]
        assert [own[name] for name in FAMILY] == [os.getpid(), pid, pid, True, 1, "1"]
