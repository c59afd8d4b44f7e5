"""A worker of the local engine: ``python -m studies.engines._local.worker FORK PID FD MODULE…``.

PID is the supervisor's; FD is the socket. With FORK 1 the program forks workers as they are asked
for (``fork_server.py``); with 0 it is one worker. As it is a program of its own, the supervisor's
main module (a script without ``__main__`` guard, pytest, a notebook) never runs again::

    supervisor                                   worker
    ("load", sys.path, cpus, pickled objective)  ("ready",) or ("broken", Failure)
    ("task", Task)                               ("report", step, metrics) …
    True (continue) or False, per report         ("done", Outcome or Failure, GpuUse or None)
    (end of file)                                leaves

Nothing heavy is imported unless it is named there or the objective asks for it.
"""

import contextlib
import gc
import importlib
import os
import pickle
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import NoReturn

from objectives.base import Objective
from studies.core.trials import Failure
from studies.engines._local.execution import execute, failure_of
from studies.engines._local.fork_server import die_with, fork_workers
from studies.engines._local.gpu_sharing import GpuUse


def serve(connection: Connection) -> None:
    objective: Objective | None = None

    def send(step: int, metrics: Mapping[str, float]) -> bool:
        connection.send(("report", step, metrics))
        return bool(connection.recv())

    while True:
        kind, *content = connection.recv()
        if kind == "load":
            path, cpus, payload = content
            sys.path[:] = path
            _pin(cpus)
            try:
                objective = pickle.loads(payload)
            except Exception as error:  # anything may go wrong while modules are imported
                connection.send(("broken", failure_of(error)))
            else:
                connection.send(("ready",))
        else:
            assert objective is not None
            (task,) = content
            result = execute(objective, task, send)
            use = gpu_use()
            try:
                message = pickle.dumps(("done", result, use))
            except Exception as error:  # pickle raises what the objects' own code raises
                failure = Failure(kind="BadOutcome", message=f"cannot be sent: {error}")
                message = pickle.dumps(("done", failure, use))
            connection.send_bytes(message)


def preload(modules: Sequence[str]) -> None:
    gc.disable()  # what is imported stays; looking for garbage in it took a fifth of the time
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    gc.freeze()
    gc.enable()


def _pin(cpus: list[int]) -> None:
    if cpus and hasattr(os, "sched_setaffinity"):
        # A container may take processors away at any time; then the kernel chooses.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)


def gpu_use() -> GpuUse | None:
    """Return the last training's use of its GPU; None: it used none, or the GPU failed."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    try:
        # The GPU on which torch holds most: it may be ``cuda:1``.
        gpu = max(range(torch.cuda.device_count()), key=torch.cuda.max_memory_reserved)
        free, total = torch.cuda.mem_get_info(gpu)
        # The trainer resets the peak at the start of each training.
        return GpuUse(
            total=total,
            free=free,
            held=torch.cuda.memory_reserved(gpu),
            peak=torch.cuda.max_memory_reserved(gpu),
        )
    except RuntimeError:  # after some errors every call fails; the task has reported it
        return None


def work(descriptor: int) -> NoReturn:
    os.set_inheritable(descriptor, False)
    # Without a supervisor the work is useless.
    with contextlib.suppress(EOFError, ConnectionError), Connection(descriptor) as connection:
        serve(connection)
    # Skips the tear-down of torch and CUDA, which takes long.
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    forks, supervisor, descriptor = map(int, sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(supervisor)
    os.set_inheritable(descriptor, False)
    preload(sys.argv[4:])
    if not forks:
        work(descriptor)
    with socket.socket(fileno=descriptor) as requests:
        fork_workers(requests, supervisor, work)


if __name__ == "__main__":
    main()
