"""Workers that are forked from one process, which imports once what each of them needs (Linux).

    supervisor                              fork server            worker
    GPU + [socket, output, answer]   ->     forks twice     ->     in a session of its own
                                            waits for the          waits until it is the
                                            one in between         supervisor's own child
    (end of file)                           leaves                 its process id, to ``answer``

A worker is the supervisor's child, as if the supervisor had started it, and survives the fork
server. The kernel gives it to the supervisor when the process in between leaves, as the supervisor
is a "child subreaper" then (https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html).

The fork server only imports. No torch operation has run, so torch and OpenMP have no threads yet
(OpenBLAS may have, and restarts them in a fork), and no GPU was touched.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 1, 36, 37
_ALL = b"all"
"""The request of a worker that sees all GPUs; else it is the GPU's name."""
_LONGEST = 4096
"""Bytes of a request."""
_MOMENT = 0.0005
"""Seconds between two checks of the parent process."""


class ForkServerGone(Exception):
    """The fork server has died; the message has the end of what it printed."""


class Forked:
    """A forked worker, with the parts of ``subprocess.Popen`` that are used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode


class ForkServer:
    """The supervisor's end of a fork server; ``command(descriptor)`` runs ``fork_workers``."""

    def __init__(self, command: Callable[[int], list[str]], environment: dict[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            command(theirs.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C in the terminal is the supervisor's alone
        )
        theirs.close()

    def fork(self, gpu: str | None, connection: int, output: int) -> Forked:
        """Fork a worker; this waits until it runs, so also for the imports."""
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as answer, _adopting():
            try:
                message = _ALL if gpu is None else gpu.encode()
                socket.send_fds(self._requests, [message], [connection, output, writing])
            except ConnectionError:
                pass  # the answer is then empty
            finally:
                # Otherwise the answer would have no end if the server died.
                os.close(writing)
            said = answer.read()
        if not said:
            raise ForkServerGone(self._last_words())
        return Forked(int(said))

    def close(self) -> None:
        self._requests.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()

    def _last_words(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace").strip()[-2000:]


def fork_workers(requests: socket.socket, supervisor: int, work: Callable[[int], None]) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 3)
        if not message:
            return
        between = os.fork()
        if not between:
            try:
                if os.fork():
                    os._exit(0)
                requests.close()
                gpu = None if message == _ALL else message.decode()
                _become_worker(supervisor, gpu, descriptors, work)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(between, 0)


def die_with(supervisor: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before the line above
        os._exit(1)


def _become_worker(
    supervisor: int, gpu: str | None, descriptors: Sequence[int], work: Callable[[int], None]
) -> None:
    between = os.getppid()
    connection, output, answer = descriptors
    os.setsid()  # what the objective starts can be ended together with it
    while os.getppid() == between != supervisor:
        time.sleep(_MOMENT)
    die_with(supervisor)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    os.write(answer, str(os.getpid()).encode())
    os.close(answer)
    work(connection)


@contextmanager
def _adopting() -> Iterator[None]:
    """Adopt, for now, the processes whose parents leave."""
    prctl = ctypes.CDLL(None).prctl
    before = ctypes.c_int()
    prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
