"""A study in the foreground: signals, and what is printed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from test_protocol import run
from toy import make_plan
from waiting import PATIENCE

from mnist_core.errors import UserError
from objectives.preparation import Preparation
from studies.cli import foreground
from studies.engines.inline import Inline
from studies.protocol import phases
from studies.protocol.control import Control
from studies.report.progress import Progress


def test_one_ctrl_c_does_not_break_off_the_reading_of_the_test_set(capfd):
    control, progress = Control(Inline()), Progress(metric="val_accuracy")
    control.reading = True
    with foreground._signals(control, progress, live=False):
        os.kill(os.getpid(), signal.SIGINT)
        assert control.asked == 1
        assert "Ctrl-C again interrupts it" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_study_begun_without_a_test_set_goes_on_when_it_comes(tmp_path, monkeypatch):
    """The test files belong to another fingerprint; what was trained is the same."""
    prepared = Preparation(
        fingerprint="whole",
        train_fingerprint="without",
        seconds=(1.0,),
        parameters=(1,),
        flops=(1,),
        epochs=(1,),
        memory=1,
    )

    def with_data(plan):
        with monkeypatch.context() as patch:
            patch.setattr(foreground.engines, "call", lambda *_: [prepared])
            return foreground.with_data(plan, Inline())

    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    plan = make_plan(tmp_path)
    new = with_data(plan)
    assert (new.data_fingerprint, new.test_data) == ("whole", "")
    run(plan.with_data("without"))
    later = with_data(plan)
    assert (later.data_fingerprint, later.test_data) == ("without", "whole")
    assert run(later).trained == 0


def test_a_terminal_that_is_closed_does_not_hold_up_a_stop(monkeypatch):
    """Whoever pressed Ctrl-C, or closed the window, reads no answer."""
    control, progress = Control(Inline()), Progress(metric="val_accuracy")
    control.busy = True

    def closed(descriptor, text):
        raise OSError(errno.EIO, "Input/output error")

    with foreground._signals(control, progress, live=False):
        monkeypatch.setattr(foreground.os, "write", closed)
        os.kill(os.getpid(), signal.SIGTERM)
        assert control.asked == 1


class _Full:
    """A file on a disk that is full."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        pass


def test_a_result_that_cannot_be_printed_is_in_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    dropped = []
    monkeypatch.setattr(foreground, "drop_output", lambda: dropped.append(1))
    result = run(make_plan(tmp_path))
    with pytest.raises(UserError, match=r"No space.*report\.md"):
        foreground.finish(result, Console(file=_Full()))
    assert dropped == [1]
    assert {"report.md", "best_config.toml"} < {path.name for path in result.plan.folder.iterdir()}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_takes_no_more_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "studies", "list"],
            cwd=Path(__file__).parents[2],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stderr) == (1, "error: the output: No space left on device\n")
