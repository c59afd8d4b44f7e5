"""Tracker processes that are killed, that hang, and whose supervisor dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from made_log import OVER, begin, track, trial, whole, write

from mnist_core.errors import ConfigError
from studies import trackers
from studies.trackers.process import TrackerProcess, TrackerProcesses
from studies.trackers.settings import TrackingSettings

NAME = "tensorboard"
ROOT = Path(__file__).parents[3]


def process(folder, seconds=60.0):
    return TrackerProcess(NAME, folder, TrackingSettings(), seconds=seconds, sync="SYNC")


def kept(folder):
    path = folder / "trackers" / f"{NAME}.kept"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [tuple(line.split()) for line in lines if not line.startswith("study")]
    assert len(set(found)) == len(found)
    return {(phase, int(number)) for phase, number in found}


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


def test_it_keeps_trials_while_the_study_runs(tmp_path):
    write(tmp_path, [*begin(), *trial(0)])
    running = process(tmp_path)
    wait_for(lambda: kept(tmp_path) == {("search", 0)})
    write(tmp_path, list(trial(1)))
    wait_for(lambda: ("search", 1) in kept(tmp_path))
    assert running.finish() and running.complete


def test_what_a_killed_one_missed_is_kept_by_the_next(tmp_path):
    write(tmp_path, [*begin(), *trial(0), *list(trial(1))[:2]])
    running = process(tmp_path)
    wait_for(lambda: kept(tmp_path))
    os.kill(running.pid, signal.SIGKILL)
    said = running.finish()
    assert not running.complete
    assert said == [f"died (signal SIGKILL); details: {tmp_path / 'trackers' / f'{NAME}.log'}"]
    write(tmp_path, [*trial(1), *whole()])
    assert track(NAME, tmp_path)[1]
    assert kept(tmp_path) == OVER


def test_one_that_hangs_is_ended(tmp_path):
    write(tmp_path, whole())
    running = process(tmp_path, seconds=0.2)
    os.kill(running.pid, signal.SIGSTOP)
    said = running.finish()
    assert said == ["not done within 0.2 seconds (tracking.finish_seconds)"]
    assert not running.complete and not psutil.pid_exists(running.pid)


def test_the_context_leaves_none_behind(tmp_path):
    with TrackerProcesses([NAME], tmp_path, TrackingSettings(), sync="SYNC") as running:
        assert running.start() == [] and running.start() == []
        (pid,) = [p.pid for p in running._running]
        os.kill(pid, signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


def test_one_whose_supervisor_was_killed_reads_to_the_end_and_leaves(tmp_path):
    write(tmp_path, whole())
    program = f"""
import os, signal
from pathlib import Path
from studies.trackers.process import TrackerProcess
from studies.trackers.settings import TrackingSettings
made = TrackerProcess({NAME!r}, Path({str(tmp_path)!r}), TrackingSettings(), seconds=60, sync="")
print(made.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    pid = int(done.stdout)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
    assert kept(tmp_path) == OVER


def test_damaged_lines_are_said(tmp_path):
    path = write(tmp_path, begin())
    with path.open("ab") as file:
        file.write(b"{half\n")
    write(tmp_path, list(trial(0)))
    said, complete = track(NAME, tmp_path)
    assert complete and said[0] == f"{path}: 1 line is no event and was passed over"


def test_a_disk_that_is_full_costs_the_tracker_only(tmp_path):
    write(tmp_path, whole())
    (tmp_path / "tensorboard").write_text("no folder")
    said, complete = track(NAME, tmp_path)
    assert not complete and said[0].startswith("failed at search trial 0: ")
    (tmp_path / "tensorboard").unlink()
    assert track(NAME, tmp_path)[1] and kept(tmp_path) == OVER


def test_names():
    assert trackers.names() == ["mlflow", "tensorboard", "wandb"]
    assert trackers.check(["mlflow", "mlflow"]) == ["mlflow"]
    with pytest.raises(ConfigError, match="unknown tracker 'wandbb'; did you mean 'wandb'"):
        trackers.check(["wandbb"])


def test_a_package_that_is_missing_is_named(monkeypatch):
    from studies.trackers import mlflow

    monkeypatch.setattr(mlflow, "PACKAGE", ("no_such_package", "mlflow"))
    with pytest.raises(ConfigError, match=r"pip install 'mnist-studies\[mlflow\]'"):
        trackers.check(["mlflow"])


def test_wandbs_own_switch(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert trackers.chosen(TrackingSettings(trackers=["wandb", "mlflow"])) == ["mlflow"]
    monkeypatch.delenv("WANDB_MODE")
    assert trackers.chosen(TrackingSettings()) == ["wandb"]
