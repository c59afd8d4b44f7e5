"""Tracker processes that are killed, that hang, and whose supervisor dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import programs
import psutil
import pytest
from made_log import OVER, begin, track, trial, whole, write
from toy_plans import toy_plan
from waiting import PATIENCE, until

from mnist_core import plugins
from mnist_core.errors import ConfigError, UserError
from studies import tracking
from studies.analysis import stored_study
from studies.cli import options
from studies.cli.sync import sync_command
from studies.core.event_log import FILE
from studies.planning.tracking_settings import TrackingSettings
from studies.tracking import process as tracker_process
from studies.tracking import recording
from studies.tracking.process import TrackerProcess, TrackerProcesses

NAME = "tensorboard"
ROOT = Path(__file__).parents[3]


def process(folder, seconds=PATIENCE):
    return TrackerProcess(NAME, folder, TrackingSettings(), seconds=seconds, sync="SYNC")


def kept(folder):
    path = folder / "trackers" / f"{NAME}.kept"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [tuple(line.split()) for line in lines if not line.startswith("study")]
    assert len(set(found)) == len(found)
    return {(phase, int(number)) for phase, number in found}


def test_it_keeps_trials_while_the_study_runs(tmp_path):
    write(tmp_path, [*begin(), *trial(0)])
    running = process(tmp_path)
    until(lambda: kept(tmp_path) == {("search", 0)})
    write(tmp_path, list(trial(1)))
    until(lambda: ("search", 1) in kept(tmp_path))
    assert running.finish() and running.complete


def test_what_a_killed_one_missed_is_kept_by_the_next(tmp_path):
    write(tmp_path, [*begin(), *trial(0), *list(trial(1))[:2]])
    running = process(tmp_path)
    until(lambda: kept(tmp_path))
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

    def start_and_die():
        print(process(tmp_path, seconds=PATIENCE).pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    killed = programs.start(start_and_die)
    pid = int(killed.stdout.readline())
    killed.communicate()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
    assert kept(tmp_path) == OVER


def test_one_that_hangs_leaves_when_its_supervisor_is_gone(tmp_path):
    os.mkfifo(tmp_path / FILE)  # nobody writes it: opening it blocks, as a library may
    running = process(tmp_path, seconds=0.5)
    try:
        until((tmp_path / "trackers" / f"{NAME}.lock").exists)
        running.dismiss()  # no more than that: a dead one neither waits nor kills
        assert running._process.wait(timeout=PATIENCE) == 3
    finally:
        running.kill()
        running.finish()


def test_what_takes_long_at_the_end_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tracker_process, "SAID_AFTER", 0.1)
    os.mkfifo(tmp_path / FILE)
    running = process(tmp_path, seconds=1.0)
    said: list[str] = []
    running.finish(said.append)
    assert len(said) == 1 and NAME in said[0] and "finish_seconds" in said[0]


@pytest.mark.parametrize("missing", [True, False])
def test_a_folder_that_takes_no_files_is_one_line(tmp_path, missing):
    folder = tmp_path / "study"
    if not missing:
        write(folder, begin())
        (folder / "trackers").write_text("no folder")
    said, complete = track(NAME, folder)
    assert not complete and len(said) == 1
    assert said[0].startswith(f"cannot write to {folder / 'trackers'}: ")


def test_sync_into_a_folder_that_takes_no_files_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    plan = toy_plan(tmp_path / "file" / "study")
    found = SimpleNamespace(plan=plan, phase="search", result=None, identity="")
    monkeypatch.setattr(options.Chosen, "find", lambda *_, **__: plan)
    monkeypatch.setattr(stored_study, "read", lambda _: SimpleNamespace(comparable=lambda: found))
    monkeypatch.setattr(stored_study, "supervisor", lambda _: None)
    monkeypatch.setattr(recording.Recording, "fill", lambda self: None)
    with pytest.raises(UserError, match=r"^results.folder: .*study"):
        sync_command("toy", tracker=[NAME])


def test_damaged_lines_are_said(tmp_path):
    path = write(tmp_path, begin())
    with path.open("ab") as file:
        file.write(b"{half\n")
    write(tmp_path, list(trial(0)))
    said, complete = track(NAME, tmp_path)
    assert complete and said[0].startswith(f"{path}: ") and "1 line" in said[0]


def test_a_disk_that_is_full_costs_the_tracker_only(tmp_path):
    write(tmp_path, whole())
    (tmp_path / "tensorboard").write_text("no folder")
    said, complete = track(NAME, tmp_path)
    assert not complete and said[0].startswith("failed at search trial 0: ")
    (tmp_path / "tensorboard").unlink()
    assert track(NAME, tmp_path)[1] and kept(tmp_path) == OVER


def test_names():
    assert tracking.names() == ["mlflow", "tensorboard", "wandb"]
    assert tracking.check(["mlflow", "mlflow"]) == ["mlflow"]
    with pytest.raises(ConfigError, match=r"'wandbb'.*'wandb'"):
        tracking.check(["wandbb"])


def test_a_package_that_is_missing_is_named(monkeypatch):
    from studies.tracking import mlflow

    monkeypatch.setattr(mlflow, "PACKAGE", ("no_such_package", "mlflow"))
    with pytest.raises(ConfigError, match=r"pip install 'mnist-studies\[mlflow\]'"):
        tracking.check(["mlflow"])


def test_wandbs_own_switch(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tracking.chosen(TrackingSettings(trackers=["wandb", "mlflow"])) == ["mlflow"]
    monkeypatch.delenv("WANDB_MODE")
    assert tracking.chosen(TrackingSettings()) == ["wandb"]


SEEN = """
import os
PACKAGE = ("json", "")
seen = []

def warm_up(place):
    seen.append(os.getpriority(os.PRIO_PROCESS, 0))
    {more}

class Seen:
    def __init__(self, place): self.place = place
    def __getattr__(self, name): return lambda *given: None
    def conclude(self, study):
        seen.append(os.getpriority(os.PRIO_PROCESS, 0))
        (self.place.folder / "seen.txt").write_text(" ".join(map(str, seen)))
        return "done"

def create(study, place): return Seen(place)
"""


@pytest.mark.parametrize("more", ["", "raise RuntimeError('not now')"])
def test_the_library_is_imported_before_the_priority_is_lowered(tmp_path, monkeypatch, more):
    """At the end of a short study the imports were waited for, at a tenth of a processor."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "seeing.py").write_text(SEEN.format(more=more))
    monkeypatch.setenv(plugins.VARIABLE, str(project))
    folder = tmp_path / "study"
    write(folder, whole())
    assert track("seeing", folder)[1]
    early, late = map(int, (folder / "seen.txt").read_text().split())
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert early == here and late > early


def test_a_study_that_is_kept_already_imports_nothing(tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    (project / "seeing.py").write_text(SEEN.format(more=""))
    monkeypatch.setenv(plugins.VARIABLE, str(project))
    folder = tmp_path / "study"
    write(folder, whole())
    assert track("seeing", folder)[1]
    (folder / "seen.txt").unlink()
    (project / "seeing.py").write_text(SEEN.format(more="(place.folder / 'warm').touch()"))
    assert track("seeing", folder)[1]
    assert not (folder / "warm").exists()


@pytest.mark.slow
def test_wandb_is_imported_whole_at_once(tmp_path):
    """What it and the study's last charts import later would be waited for at the end."""
    code = (
        "import sys; from pathlib import Path; from studies.tracking import wandb;"
        "from types import SimpleNamespace as S; wandb.warm_up(S(folder=Path('.')));"
        "wanted = {'wandb', 'wandb.sdk.launch.inputs.internal', 'pandas', 'optuna'};"
        "assert wanted <= set(sys.modules), wanted - set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
