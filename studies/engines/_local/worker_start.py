"""Starts an engine's workers: forked on Linux without a GPU, or each as a program."""

import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_core.console.shell_words import python
from mnist_core.errors import UserError
from objectives.base import Objective
from studies.core.trials import Failure
from studies.engines._local.fork_server import ForkServer, ForkServerGone
from studies.engines._local.worker_process import WorkerProcess
from studies.planning import machine


class WorkerStartError(UserError):
    """Workers cannot start or load the objective; its note holds what they printed."""


def pickled(objective: Objective) -> bytes:
    """Return ``objective`` as it is sent to workers; WorkerStartError: if they cannot load it."""
    module = getattr(objective, "__module__", "")
    # A worker's main program is another one, so what is pickled by name would not be found.
    if module == "__main__":
        raise WorkerStartError(
            "the objective is defined in the main program, where workers cannot import it; "
            "move it into a module, or use the engine 'inline'"
        )
    try:
        return pickle.dumps(objective)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise WorkerStartError(f"the objective cannot be sent to workers: {error}") from None


def unfit_error(failure: Failure, times: int) -> UserError:
    return UserError(
        f"workers cannot use their device, {times} in a row: {failure.message}; nothing is lost:"
        " free the device or set another one, and run the study again"
    )


def start_error(message: str, output: str) -> WorkerStartError:
    error = WorkerStartError(f"workers cannot start: {message}")
    if output:
        error.add_note(output)
    return error


ROOT = Path(__file__).resolve().parents[3]
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def python_path() -> str:
    """Return ``PYTHONPATH`` for a process that must find this package, installed or not."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


class WorkerStarter:
    def __init__(self, *, threads: int, preload: Sequence[str] = ()) -> None:
        environment = os.environ | dict.fromkeys(_THREADS, str(threads))
        environment["PYTHONPATH"] = python_path()
        environment["PYTHONFAULTHANDLER"] = "1"
        self._environment = environment
        self._preload = tuple(preload)
        self._server = self._fork_server() if _forks() else None

    def start(self, cpus: list[int], gpu: str | None = None) -> WorkerProcess:
        """Start a worker, bound to the processors ``cpus`` ([]: the kernel chooses).

        It sees only ``gpu``, a value of ``CUDA_VISIBLE_DEVICES``; None: all that this process sees.
        """
        if self._server is None:
            return WorkerProcess(functools.partial(self._spawn, gpu), cpus)
        try:
            return WorkerProcess(functools.partial(self._server.fork, gpu), cpus)
        except ForkServerGone:  # killed: its workers live on, and a new one forks the next
            self.close()
            self._server = self._fork_server()
        try:
            return WorkerProcess(functools.partial(self._server.fork, gpu), cpus)
        except ForkServerGone as gone:
            raise start_error("the process that forks them has died", str(gone)) from None

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _fork_server(self) -> ForkServer:
        return ForkServer(functools.partial(self._command, forks=True), self._environment)

    def _command(self, descriptor: int, *, forks: bool) -> list[str]:
        program = [*python(), "-u", "-m", "studies.engines._local.worker"]
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
    # A fork with a GPU's driver in the process was not tested.
    return sys.platform == "linux" and not machine.may_have_gpu()


def shares(workers: int, threads: int) -> list[list[int]]:
    """Return each worker's own processors, or [] for each unless all are handed out."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    # Otherwise two small studies on one machine would both be pinned to its first processors.
    if workers == 1 or workers * threads != len(cores):
        return [[]] * workers
    return [cores[index * threads : (index + 1) * threads] for index in range(workers)]
