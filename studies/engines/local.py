"""The local engine: worker processes on this machine that live as long as the engine.

One thread supervises. It sleeps until a worker has sent something or died, answers reports first,
and lets the book write when no worker waits. On a CPU workers x threads = cores, and each worker
has cores of its own.
"""

import contextlib
import os
import pickle
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any, Self

from mnist_core.errors import UserError
from objectives.base import Objective, Outcome
from studies import machine
from studies.engines._process import WorkerProcess
from studies.engines.base import Failure, Work

_STILLBORN = 2
"""So many workers in a row that die before they are ready end the run."""


class WorkerStartError(UserError):
    """Workers cannot start, or cannot load the objective; its note holds what they printed."""


def create(*, workers: int, threads: int, preload: Sequence[str] = ()) -> "Local":
    """Return the engine with ``workers`` processes of ``threads`` CPU threads (0: a fair share)."""
    return Local(workers=workers, threads=threads, preload=preload)


class Local:
    """Runs trials in worker processes.

    Args:
        workers: processes, >= 1.
        threads: CPU threads of each, 0: an equal share of the cores.
        preload: modules that each imports as it starts; one that cannot be imported is of no
            matter before the objective needs it.
    """

    def __init__(self, *, workers: int, threads: int, preload: Sequence[str] = ()) -> None:
        if workers < 1:
            raise UserError(f"engine.workers must be 1 or more, but got {workers}")
        self._threads = threads or max(1, machine.cores() // workers)
        self._preload = preload
        self._cpus = _shares(workers, self._threads)
        self._workers: list[WorkerProcess | None] = [None] * workers
        self._stopping = False
        self._now = False
        self._stillborn = 0
        self._handed_out = False
        self._wake: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        self._wake = os.pipe()
        os.set_blocking(self._wake[1], False)
        try:
            self._spawn()
        except BaseException:  # Ctrl-C, too
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._alive():
            worker.end()  # all at once: each takes a while to hand its memory back
        for index in range(len(self._workers)):
            self._remove(index)
        wake, self._wake = self._wake, None
        for descriptor in wake or ():
            os.close(descriptor)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in self._workers if worker is not None]

    def run(self, work: Work, objective: Objective) -> None:
        """Run tasks until there is none and none is running, or ``stop`` was asked for.

        Raises:
            WorkerStartError: workers die at once, or cannot load ``objective``.
        """
        assert self._wake is not None, "enter the engine first: `with engine:`"
        payload = _pickled(objective)
        self._stillborn = 0
        self._spawn()
        for worker in self._alive():
            worker.load(payload)
        try:
            while not self._over(work):
                self._listen(work, payload)
                work.settle()
        finally:
            for index, one in enumerate(self._workers):
                if one is not None and one.task is not None:
                    self._remove(index)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trials at once."""
        self._stopping = True
        self._now = self._now or now
        if self._wake is not None:
            with contextlib.suppress(BlockingIOError):  # full of earlier calls: it will wake up
                os.write(self._wake[1], b"!")

    def _over(self, work: Work) -> bool:
        """Hand a task to an idle worker, if there is one of each; return whether all is done."""
        if self._now:
            for worker in self._alive():
                if worker.task is not None:
                    worker.kill()
                    failure = Failure(kind="Interrupted", message="the run was stopped")
                    work.lose(worker.task, failure)
            return True
        self._handed_out = False
        busy = any(worker.task is not None for worker in self._alive())
        if self._stopping:
            return not busy
        idle = next((w for w in self._alive() if w.ready and w.task is None), None)
        if idle is None:
            return False
        task = work.ask()
        if task is None:
            return not busy
        idle.begin(task)
        work.started(task, idle.pid)
        self._handed_out = True
        return False

    def _listen(self, work: Work, payload: bytes) -> None:
        """Sleep until something happens, and deal with it."""
        assert self._wake is not None
        handles: list[Any] = [self._wake[0]]
        for worker in self._alive():
            handles.extend(worker.handles)
        # After a task was handed out there may be one for the next worker, too; but a worker that
        # waits for an answer comes first.
        for handle in wait(handles, 0 if self._handed_out else None):
            if handle == self._wake[0]:
                os.read(self._wake[0], 4096)
        for index, one in enumerate(self._workers):
            if one is not None:
                self._hear(index, one, work, payload)

    def _hear(self, index: int, worker: WorkerProcess, work: Work, payload: bytes) -> None:
        # Asked first: whatever it has sent before it died is then there to be read.
        dead = worker.dead
        try:
            while (message := worker.receive()) is not None:
                self._take(worker, message, work)
        except EOFError:
            dead = True
        if dead:
            self._bury(index, worker, work, payload)

    def _take(self, worker: WorkerProcess, message: tuple[Any, ...], work: Work) -> None:
        kind, *content = message
        if kind == "ready":
            worker.ready = True
            self._stillborn = 0
            return
        if kind == "broken":
            (failure,) = content
            raise _start_error(f"{failure.kind}: {failure.message}", failure.traceback)
        task = worker.task
        assert task is not None
        if kind == "report":
            step, metrics = content
            worker.answer(work.report(task, step, metrics))
            return
        (result,) = content
        worker.task = None
        if isinstance(result, Outcome):
            work.finish(task, result)
        else:
            work.fail(task, result)

    def _bury(self, index: int, worker: WorkerProcess, work: Work, payload: bytes) -> None:
        worker.kill()
        message, tail = worker.obituary()
        task, ready = worker.task, worker.ready
        worker.task = None
        self._remove(index)
        if not ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise _start_error(message, tail)
        if task is not None:
            work.lose(task, Failure(kind="WorkerLost", message=message, traceback=tail))
        if not self._stopping:
            self._spawn()
            replacement = self._workers[index]
            assert replacement is not None
            replacement.load(payload)

    def _alive(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None]

    def _spawn(self) -> None:
        for index, worker in enumerate(self._workers):
            if worker is None:
                self._workers[index] = WorkerProcess(
                    threads=self._threads, cpus=self._cpus[index], preload=self._preload
                )

    def _remove(self, index: int) -> None:
        worker, self._workers[index] = self._workers[index], None
        if worker is not None:
            worker.close()


def _shares(workers: int, threads: int) -> list[list[int]]:
    """Return each worker's own processors; none of its own ([]) unless all are handed out.

    Two small studies on one machine would otherwise both be pinned to its first processors.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if workers == 1 or workers * threads != len(cores):
        return [[]] * workers
    return [cores[index * threads : (index + 1) * threads] for index in range(workers)]


def _pickled(objective: Objective) -> bytes:
    module = getattr(objective, "__module__", "")
    if module == "__main__":
        raise WorkerStartError(
            "the objective is defined in the main program, where workers cannot import it; "
            "move it into a module, or use the engine 'inline'"
        )
    try:
        return pickle.dumps(objective)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise WorkerStartError(f"the objective cannot be sent to workers: {error}") from None


def _start_error(message: str, output: str) -> WorkerStartError:
    error = WorkerStartError(f"workers cannot start: {message}")
    if output:
        error.add_note(output)
    return error
