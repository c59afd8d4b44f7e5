"""The supervisor's end of a worker process: start it, speak to it, collect its exit."""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from objectives.base import Task
from studies.core.trials import Failure
from studies.engines._local.fork_server import Forked

_TAIL = 2000
"""Characters that are kept of a worker's last output."""

_DYING = 1.0
"""Seconds for a worker that has closed its socket to end by itself."""

Start = Callable[[int, int], subprocess.Popen[bytes] | Forked]
"""Starts a worker with the descriptors of its socket and of what it prints to."""


class WorkerProcess:
    """One worker process.

    Attributes:
        ready: whether it has loaded the objective and waits for a task.
        began: ``time.monotonic()`` at the start of its task.
        step: the task's last report; 0: none yet.
        unfit: whether it was ended because it cannot use its device.
        warm: whether it has reported or finished a task, so it has loaded what it needs.
    """

    def __init__(self, start: Start, cpus: list[int]) -> None:
        """Start it, bound to the processors ``cpus``; []: the kernel chooses."""
        self.ready = False
        self.task: Task | None = None
        self.began, self.step = 0.0, 0
        self.unfit = self.warm = False
        self._heard = 0.0
        self._cpus = cpus
        ours, theirs = socket.socketpair()
        # Its output must not break the live view; the end of it explains a death.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        with ours, theirs:
            try:
                self._process = start(theirs.fileno(), self._output.fileno())
            except BaseException:  # Ctrl-C, too
                self._output.close()
                raise
            self._connection = Connection(ours.detach())
        self.pid = self._process.pid
        # The socket ends with the process, unless a child of it still holds it open.
        self._pidfd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None

    @property
    def handles(self) -> list[Any]:
        """Handles that become readable when the worker has sent something or died."""
        handles: list[Any] = [self._connection]
        if self._pidfd is not None:
            handles.append(self._pidfd)
        return handles

    @property
    def dead(self) -> bool:
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll() is not None
        # Its exit is not collected yet, so its id, which is its group's too, is not used again.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def load(self, payload: bytes) -> None:
        self.ready = False
        self._send(("load", list(sys.path), self._cpus, payload))

    def begin(self, task: Task) -> None:
        self.task, self.began, self.step = task, time.monotonic(), 0
        self._heard = self.began
        self._send(("task", task))

    def waited(self) -> float:
        """Return the seconds from its last report, or the start of its task, to the report now."""
        before, self._heard = self._heard, time.monotonic()
        return self._heard - before

    def answer(self, continues: bool) -> None:
        self._send(continues)

    def receive(self) -> tuple[Any, ...] | None:
        """Return its next message, or None; EOFError: it has closed the socket, so it is dying."""
        try:
            if not self._connection.poll():
                return None
            content = self._connection.recv_bytes()
        except OSError:  # it may end in the middle of a message
            raise EOFError from None
        try:
            return tuple(pickle.loads(content))
        except Exception as error:  # unpickling runs the code of what the objective returned
            failure = Failure(
                kind="BadOutcome",
                message=f"cannot be read here: {type(error).__name__}: {error}",
            )
            return "done", failure, None

    def end(self) -> None:
        """End it and its children, without waiting for it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it and its children, and wait until it has ended."""
        self.end()
        self._process.wait()

    def collect_exit(self) -> tuple[str, str]:
        """End what is left of it and its children; return how it died, and its last output."""
        # One that has closed its socket, but lives on, is killed.
        deadline = time.monotonic() + _DYING
        while not self.dead and time.monotonic() < deadline:
            time.sleep(0.01)  # the socket closes a moment before the process ends
        lives_on = not self.dead
        self.kill()
        if lives_on:
            return f"worker process {self.pid} closed its connection, so it was ended", self._tail()
        return self._death(), self._tail()

    def close(self) -> None:
        self.kill()
        self._connection.close()
        self._output.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _death(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"worker process {self.pid} left with exit code {code}"
        hint = "; out of memory?" if -code == signal.SIGKILL else ""
        return f"worker process {self.pid} was killed by {signal_name(-code)}{hint}"

    def _tail(self) -> str:
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _TAIL))
        return self._output.read().decode(errors="replace").strip()

    def _send(self, message: Any) -> None:
        # If it has died, ``receive`` finds out.
        with contextlib.suppress(ConnectionError):
            self._connection.send(message)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
