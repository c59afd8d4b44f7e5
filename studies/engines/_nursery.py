"""Where an engine's workers come from: forked, on Linux without a GPU, or started singly."""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from studies.engines._forking import ForkServer, ForkServerGone
from studies.engines._process import WorkerProcess
from studies.engines._starting import start_error
from studies.planning import machine

_ROOT = Path(__file__).resolve().parents[2]
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Nursery:
    """Starts an engine's workers.

    Args:
        threads: CPU threads of the numeric libraries.
        preload: modules that are imported at once.
    """

    def __init__(self, *, threads: int, preload: Sequence[str] = ()) -> None:
        environment = os.environ | dict.fromkeys(_THREADS, str(threads))
        path = [str(_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry)
        environment["PYTHONFAULTHANDLER"] = "1"
        self._environment = environment
        self._preload = tuple(preload)
        self._server = self._fork_server() if _forks() else None

    def start(self, cpus: list[int], gpu: str | None = None) -> WorkerProcess:
        """Start a worker.

        Args:
            cpus: processors that it is bound to; none: the kernel chooses.
            gpu: the one GPU that it sees, as ``CUDA_VISIBLE_DEVICES`` names it; None: all that
                this process sees.

        Raises:
            WorkerStartError: none can be forked, again and again.
        """
        if self._server is None:
            return WorkerProcess(functools.partial(self._spawn, gpu), cpus)
        try:
            return WorkerProcess(functools.partial(self._server.fork, gpu), cpus)
        except ForkServerGone:  # killed: its workers live on, and the next ones have another
            self.close()
            self._server = self._fork_server()
        try:
            return WorkerProcess(functools.partial(self._server.fork, gpu), cpus)
        except ForkServerGone as gone:
            raise start_error("the process that forks them has died", str(gone)) from None

    def close(self) -> None:
        """Start no more."""
        if self._server is not None:
            self._server.close()

    def _fork_server(self) -> ForkServer:
        return ForkServer(functools.partial(self._command, forks=True), self._environment)

    def _command(self, descriptor: int, *, forks: bool) -> list[str]:
        program = [sys.executable, "-u", "-m", "studies.engines._worker"]
        return [*program, str(int(forks)), str(os.getpid()), str(descriptor), *self._preload]

    def _spawn(self, gpu: str | None, descriptor: int, output: int) -> subprocess.Popen[bytes]:
        environment = self._environment
        if gpu is not None:
            environment = environment | {"CUDA_VISIBLE_DEVICES": gpu}
        return subprocess.Popen(
            self._command(descriptor, forks=False),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[descriptor],
            # Its own session: Ctrl-C in the terminal is the supervisor's alone, and processes that
            # the objective starts can be ended together with it.
            start_new_session=True,
        )


def _forks() -> bool:
    # With a GPU's driver in the process a fork has not been tried.
    return sys.platform == "linux" and not machine.may_have_gpu()


def shares(workers: int, threads: int) -> list[list[int]]:
    """Return each worker's own processors; none of its own ([]) unless all are handed out.

    Two small studies on one machine would otherwise both be pinned to its first processors.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if workers == 1 or workers * threads != len(cores):
        return [[]] * workers
    return [cores[index * threads : (index + 1) * threads] for index in range(workers)]
