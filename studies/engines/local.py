"""The local engine: worker processes on this machine that live as long as the engine.

One thread supervises. It sleeps until a worker has sent something or died, answers reports first,
and lets the book write when no worker waits. On a CPU workers x threads = cores, and each worker
has cores of its own. A trial over a limit is killed with its worker, whatever it is doing, and a
new worker takes the place.

On GPUs it may begin with one worker each; when the first trial is over, as many more are started
as fit by the memory that trial needed at most, and ended again if that is no faster. A trial that
runs out of memory on a GPU that it shares is run again, with one worker fewer. A worker that cannot
use its device is replaced, and its trial run again.
"""

import contextlib
import os
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any, Self

from mnist_core.errors import UserError
from objectives.base import Objective, Outcome
from studies.core.trials import NO_LIMITS, UNFIT, Failure, Limits
from studies.engines._local.gpu_sharing import GpuUse, Sharing
from studies.engines._local.limits import Watch, memory
from studies.engines._local.worker_process import WorkerProcess
from studies.engines._local.worker_start import (
    Nursery,
    WorkerStartError,
    pickled,
    shares,
    start_error,
)
from studies.engines.base import ALL, Resources, Work
from studies.planning import machine

__all__ = ["Local", "WorkerStartError", "create"]

_PULSE = 5.0
"""Seconds after which the book may write at the latest, as it has a heartbeat to keep up."""

_STILLBORN = 2
"""So many workers in a row that die before they are ready end the run."""


def create(
    *, workers: int, threads: int, preload: Sequence[str] = (), resources: Resources = ALL
) -> "Local":
    """Return the engine with ``workers`` processes of ``threads`` CPU threads (0: a fair share)."""
    return Local(workers=workers, threads=threads, preload=preload, resources=resources)


class Local:
    """Runs trials in worker processes.

    Args:
        workers: processes, >= 1.
        threads: CPU threads of each, 0: an equal share of the cores.
        preload: modules that each imports as it starts; one that cannot be imported is of no
            matter before the objective needs it.
        resources: processors and GPUs.
    """

    def __init__(
        self,
        *,
        workers: int,
        threads: int,
        preload: Sequence[str] = (),
        resources: Resources = ALL,
    ) -> None:
        if workers < 1:
            raise UserError(f"engine.workers must be 1 or more, but got {workers}")
        self._threads = threads or max(1, machine.cores() // workers)
        self._preload = preload
        self._cpus = shares(workers, self._threads) if resources.affinity else [[]] * workers
        self._sharing = Sharing(resources.gpus, most=resources.most)
        self._workers: list[WorkerProcess | None] = [None] * workers
        self._stopping = False
        self._now = False
        self._stillborn = 0
        self._handed_out = False
        self._wake: tuple[int, int] | None = None
        self._nursery: Nursery | None = None

    def __enter__(self) -> Self:
        self._wake = os.pipe()
        os.set_blocking(self._wake[1], False)
        # It is at its imports while this process goes on with its own: workers come with ``run``.
        self._nursery = Nursery(threads=self._threads, preload=self._preload)
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._alive():
            worker.end()  # all at once: each takes a while to hand its memory back
        for index in range(len(self._workers)):
            self._remove(index)
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()
        wake, self._wake = self._wake, None
        for descriptor in wake or ():
            os.close(descriptor)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in self._workers if worker is not None]

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks until there is none and none is running, or ``stop`` was asked for.

        Raises:
            WorkerStartError: workers die at once, or cannot load ``objective``.
            UserError: if workers again and again cannot use their device.
        """
        payload, watch = pickled(objective), Watch(limits)
        self._stillborn = 0
        self._spawn()
        for worker in self._alive():
            worker.load(payload)
        try:
            while not self._over(work):
                self._listen(work, payload, watch)
                self._enforce(work, payload, watch)
                work.flush()
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
        for index, one in enumerate(self._workers):
            if one is not None and one.task is None and self._sharing.retired(index):
                self._remove(index)
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

    def _listen(self, work: Work, payload: bytes, watch: Watch) -> None:
        """Sleep until something happens, and deal with it."""
        assert self._wake is not None
        handles: list[Any] = [self._wake[0]]
        for worker in self._alive():
            handles.extend(worker.handles)
        # After a task was handed out there may be one for the next worker, too; but a worker that
        # waits for an answer comes first.
        asleep = watch.wait([worker.began for worker in self._alive() if worker.task is not None])
        asleep = _PULSE if asleep is None else min(_PULSE, asleep)
        for handle in wait(handles, 0 if self._handed_out else asleep):
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
                self._take(index, worker, message, work, payload)
        except EOFError:
            dead = True
        if dead:
            self._bury(index, worker, work, payload)

    def _enforce(self, work: Work, payload: bytes, watch: Watch) -> None:
        """End trials that are over a limit."""
        busy = [(i, w, w.task) for i, w in enumerate(self._workers) if w is not None and w.task]
        found = watch.look([(worker.pid, worker.began, worker.step) for _, worker, _ in busy])
        for (index, worker, task), failure in zip(busy, found, strict=True):
            if failure is not None:
                worker.task = None
                self._remove(index)
                work.fail(task, failure)
                self._replace(payload)

    def _take(
        self,
        index: int,
        worker: WorkerProcess,
        message: tuple[Any, ...],
        work: Work,
        payload: bytes,
    ) -> None:
        kind, *content = message
        if kind == "ready":
            worker.ready = True
            self._stillborn = 0
            return
        if kind == "broken":
            (failure,) = content
            raise start_error(f"{failure.kind}: {failure.message}", failure.traceback)
        task = worker.task
        assert task is not None
        if kind == "report":
            step, metrics = content
            worker.step = step
            worker.answer(work.report(task, step, metrics))
            self._compare(worker)
            return
        result, use = content
        worker.task, worker.warm = None, True
        if not isinstance(result, Outcome) and result.kind in UNFIT:
            worker.ready, worker.unfit = False, True
            worker.end()
            work.lose(task, result)
            self._sharing.unfit(index, len(self._workers), task.number, result)
            return
        self._sharing.fit(index)
        if isinstance(result, Outcome):
            work.finish(task, result)
            if use is not None and result.metrics:  # a trial, no mere call
                self._grow(use, worker.pid, payload)
        elif (
            result.kind == "OutOfMemory"
            and use is not None
            and self._sharing.retire(index, len(self._workers))
        ):
            work.lose(task, result)
        else:
            work.fail(task, result)

    def _bury(self, index: int, worker: WorkerProcess, work: Work, payload: bytes) -> None:
        message, tail = worker.bury()
        task, ready = worker.task, worker.ready
        worker.task = None
        self._remove(index)
        if not (ready or worker.unfit or self._sharing.retired(index)):
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise start_error(message, tail)
        if task is not None:
            work.lose(task, Failure(kind="WorkerLost", message=message, traceback=tail))
        self._replace(payload)

    def _replace(self, payload: bytes) -> None:
        """Start the workers that are missing, unless the run comes to its end."""
        if not self._stopping:
            for worker in self._spawn():
                worker.load(payload)

    def _grow(self, use: GpuUse, pid: int, payload: bytes) -> None:
        """Start as many workers like ``pid`` as there is memory for, the GPUs' and main, once."""
        there = len(self._workers)
        more = self._sharing.room(use, there, host=memory(pid), free=machine.free_memory())
        if more:
            self._sharing.growth.grown(there, there + more)
            self._workers += [None] * more
            self._cpus += [[]] * more
            self._replace(payload)

    def _compare(self, worker: WorkerProcess) -> None:
        """Go back to fewer workers if those that were added have made the study no faster."""
        seconds, counts, worker.warm = worker.waited(), worker.warm, True
        crowded = all(one is not None and one.warm and one.task for one in self._workers)
        back = self._sharing.growth.reported(seconds, crowded=crowded) if counts else 0
        for index in range(back, len(self._workers) if back else 0):
            self._sharing.retire(index, len(self._workers))

    def _alive(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None]

    def _spawn(self) -> list[WorkerProcess]:
        """Start the workers that are missing, and return them."""
        begun = []
        for index, worker in enumerate(self._workers):
            if worker is None and not self._sharing.retired(index):
                assert self._nursery is not None, "enter the engine first: `with engine:`"
                new = self._nursery.start(self._cpus[index], self._sharing.gpu(index))
                self._workers[index] = new
                begun.append(new)
        return begun

    def _remove(self, index: int) -> None:
        worker, self._workers[index] = self._workers[index], None
        if worker is not None:
            worker.close()
