"""What real workers are given to do; they import this module, so it is light."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import dataclass, field
from pathlib import Path

from waiting import until

from objectives.base import Outcome, TrainingError
from studies.engines._local.gpu_sharing import GpuUse

MIB = 1024**2


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
class Uneven:
    """Nine reports; a slow trial takes four times as long as a fast one."""

    seconds: float = 0.004

    def __call__(self, task, report):
        pause = self.seconds * (4 if task.params["kind"] == "slow" else 1)
        for step in range(1, 10):
            time.sleep(pause)
            report(step, {"val_accuracy": task.params["x"] * step / 9})
        return Outcome(metrics={"val_accuracy": task.params["x"]})


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


@dataclass(frozen=True)
class Greedy:
    """Trial 1 does something bad after its first report; the others are good."""

    how: str

    def __call__(self, task, report):
        report(1, {"val_accuracy": 0.5})
        if task.number == 1:
            getattr(self, self.how)(report)
        report(2, {"val_accuracy": 0.6})
        return Outcome(metrics={"val_accuracy": 0.6}, attributes={"pid": os.getpid()})

    def hang(self, report):
        time.sleep(600)

    def hang_in_c(self, report):
        # Holds the interpreter's lock: no signal handler and no thread of Python's would run.
        libc = ctypes.PyDLL(None)
        libc.sleep(600)

    def ignore_everything(self, report):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass

    def report_for_ever(self, report):
        step = 1
        while True:
            step += 1
            time.sleep(0.01)
            report(step, {"val_accuracy": 0.5})

    def hoard(self, report):
        kept = b"x" * (600 * MIB)
        time.sleep(600)
        del kept

    def hoard_in_a_child(self, report):
        code = "import time; kept = b'x' * (600 * 1024**2); time.sleep(600)"
        subprocess.run([sys.executable, "-c", code], check=True)


def slow(seconds):
    time.sleep(seconds)
    return seconds


@dataclass(frozen=True)
class Seen:
    """Reports what its worker sees; ``measured``: what torch says of its GPU."""

    measured: GpuUse | None = None
    scarce: tuple[int, ...] = field(default=())
    queue: Path | None = None  # a folder: workers get on one by one there, three of them slowly

    def __call__(self, task, report):
        if (measured := self.measured) is not None:  # as much of torch as the worker asks
            cuda = types.SimpleNamespace(
                is_initialized=lambda: True,
                device_count=lambda: 1,
                mem_get_info=lambda gpu: (measured.free, measured.total),
                memory_reserved=lambda gpu: measured.held,
                max_memory_reserved=lambda gpu: measured.peak,
            )
            sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
        if task.number in self.scarce:
            raise TrainingError("OutOfMemory", "CUDA out of memory")
        for step in range(1, 4):
            if self.queue is not None:
                self.wait_in_line(task.number)
            report(step, {"val_accuracy": 0.5})
        return self.outcome()

    def wait_in_line(self, number):
        (self.queue / str(os.getpid())).touch()
        workers = list(self.queue.glob("[0-9]*"))
        if number:
            until(lambda: len(list(self.queue.glob("[0-9]*"))) == 3)
        with (self.queue / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            time.sleep(0.02 * len(workers))  # well above what a busy machine adds

    def outcome(self):
        environment = os.environ.get("CUDA_VISIBLE_DEVICES")
        affinity = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
        attributes = {"gpu": environment, "pid": os.getpid(), "cores": affinity}
        return Outcome(metrics={"val_accuracy": 0.5}, attributes=attributes)
