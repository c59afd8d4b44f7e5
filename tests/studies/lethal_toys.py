"""Objectives that do odd things to their workers, which import this module, so it is light."""

import ctypes
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from waiting import until

from objectives.base import Outcome


@dataclass(frozen=True)
class Crash:
    """Trial 1 crashes its worker at its first attempt; trial 2 always."""

    how: str

    def __call__(self, task, report):
        report(1, {"val_accuracy": 0.5})
        if (task.number == 1 and task.attempt == 0) or task.number == 2:
            if self.how == "segfault":
                ctypes.string_at(0)
            os.abort()
        report(2, {"val_accuracy": 0.6})
        return Outcome(metrics={"val_accuracy": 0.6})


@dataclass(frozen=True)
class Together:
    """Ends once four trials have begun: one alone waits for ever."""

    folder: Path

    def __call__(self, task, report):
        (self.folder / f"{task.number} {os.getpid()}").touch()
        until(lambda: len(list(self.folder.iterdir())) >= 4)
        report(1, {"val_accuracy": 0.5})
        return Outcome(metrics={"val_accuracy": 0.5}, attributes={})


@dataclass(frozen=True)
class Unloadable:
    """Can be pickled here, cannot be loaded there."""

    how: str

    def __reduce__(self):
        return (load_badly, (self.how,))

    def __call__(self, task, report):
        return Outcome(metrics={})


def load_badly(how):
    if how == "exit":
        print("the reason why", flush=True)
        os._exit(3)
    import no_such_module  # noqa: F401


@dataclass(frozen=True)
class Parent:
    """Starts a process of its own, as a data loader does, and dies."""

    folder: Path

    def __call__(self, task, report):
        child = subprocess.Popen(["sleep", "60"])
        (self.folder / "child").write_text(str(child.pid))
        os.kill(os.getpid(), signal.SIGKILL)
