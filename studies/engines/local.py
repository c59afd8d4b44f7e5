"""The local engine: worker processes on this machine that live as long as the engine.

One thread supervises. On a CPU workers x threads = cores.
"""

import contextlib
import os
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any, Self

from objectives.base import Objective, Outcome
from studies.core.trials import INTERRUPTED, NO_LIMITS, UNFIT, Failure, Limits
from studies.engines._local.gpu_sharing import GpuUse, Sharing
from studies.engines._local.limits import Watch, memory
from studies.engines._local.worker_process import WorkerProcess
from studies.engines._local.worker_start import (
    WorkerStarter,
    WorkerStartError,
    pickled,
    shares,
    start_error,
)
from studies.engines.base import ALL, Resources, Work
from studies.planning import machine

__all__ = ["Local", "WorkerStartError", "create"]

_PULSE = 5.0
"""Seconds after which the book may write at the latest."""

_DIED_AT_START = 2
"""Workers in a row that die before they are ready; then the run ends."""


class Local:
    """Runs trials in worker processes.

    On GPUs it may start with one worker each. When the first trial has finished, it adds as many
    as fit by the memory of that trial, and removes them again if they make the study no faster.
    """

    def __init__(
        self,
        *,
        workers: int,
        threads: int,
        preload: Sequence[str] = (),
        resources: Resources = ALL,
    ) -> None:
        self._threads = threads
        self._preload = preload
        self._cpus = shares(workers, self._threads) if resources.affinity else [[]] * workers
        self._sharing = Sharing(resources.gpus, most=resources.most)
        self._may_grow = resources.most > 0
        self._workers: list[WorkerProcess | None] = [None] * workers
        self._stopping = False
        self._now = False
        self._died_at_start = 0
        self._handed_out = False
        self._due = 0.0  # seconds until a report is to be written; 0: none is left
        self._wake: tuple[int, int] | None = None
        self._starter: WorkerStarter | None = None
        self._work: Work
        self._payload = b""

    def __enter__(self) -> Self:
        self._wake = os.pipe()
        os.set_blocking(self._wake[1], False)
        # It imports while this process does, too: workers come with ``run``.
        self._starter = WorkerStarter(threads=self._threads, preload=self._preload)
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._alive():
            worker.end()  # all at once: each takes a while to hand its memory back
        for index in range(len(self._workers)):
            self._remove(index)
        starter, self._starter = self._starter, None
        if starter is not None:
            starter.close()
        wake, self._wake = self._wake, None
        for descriptor in wake or ():
            os.close(descriptor)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in self._alive()]

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks until there are no more and none is running, or ``stop`` was called.

        Raises:
            WorkerStartError: if workers die at the start, or cannot load ``objective``.
            UserError: if workers again and again cannot use their device.
        """
        self._work, self._payload, watch = work, pickled(objective), Watch(limits)
        self._died_at_start = 0
        self._spawn()
        for worker in self._alive():
            worker.load(self._payload)
        try:
            while not self._finished():
                self._listen(watch)
                if limits != NO_LIMITS:
                    self._enforce(watch)
                self._due = work.flush(now=False)  # no worker waits for an answer
        finally:
            for index, worker in self._places():
                if worker.task is not None:
                    self._remove(index)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trials at once."""
        self._stopping = True
        self._now = self._now or now
        if self._wake is not None:
            with contextlib.suppress(BlockingIOError):  # full of earlier calls: it will wake up
                os.write(self._wake[1], b"!")

    def _finished(self) -> bool:
        """Hand a task to an idle worker, if there is one of each; return whether all is done."""
        for index, worker in self._places():
            if worker.task is None and self._sharing.retired(index):
                self._remove(index)
        if self._now:
            for worker in self._alive():
                if worker.task is not None:
                    worker.kill()
                    self._work.lose(worker.task, INTERRUPTED)
            return True
        self._handed_out = False
        busy = any(worker.task is not None for worker in self._alive())
        if self._stopping:
            return not busy
        idle = next((w for w in self._alive() if w.ready and w.task is None), None)
        if idle is None:
            return False
        task = self._work.ask()
        if task is None:
            return not busy
        idle.begin(task)
        self._work.started(task, idle.pid)
        self._handed_out = True
        return False

    def _listen(self, watch: Watch) -> None:
        """Sleep until something happens, and deal with it."""
        assert self._wake is not None
        handles: list[Any] = [self._wake[0]]
        for worker in self._alive():
            handles.extend(worker.handles)
        # After a task was handed out there may be one for the next worker, too; but a worker that
        # waits for an answer comes first.
        asleep = watch.wait([worker.began for worker in self._alive() if worker.task is not None])
        longest = min(_PULSE, self._due or _PULSE)
        asleep = longest if asleep is None else min(longest, asleep)
        # The longest sleep lets the book write now and then: it has a heartbeat to keep up.
        for handle in wait(handles, 0 if self._handed_out else asleep):
            if handle == self._wake[0]:
                os.read(self._wake[0], 4096)
        for index, worker in self._places():
            # Asked first: whatever it has sent before it died is then there to be read.
            dead = worker.dead
            try:
                while (message := worker.receive()) is not None:
                    self._take(index, worker, message)
            except EOFError:
                dead = True
            if dead:
                self._collect_exit(index, worker)

    def _enforce(self, watch: Watch) -> None:
        """Kill the workers of trials over a limit, and replace them."""
        busy = [(index, worker) for index, worker in self._places() if worker.task]
        found = watch.look([(worker.pid, worker.began, worker.step) for _, worker in busy])
        for (index, worker), failure in zip(busy, found, strict=True):
            if failure is not None:
                assert worker.task is not None
                task, worker.task = worker.task, None
                self._remove(index)
                self._work.fail(task, failure)
                self._replace()

    def _take(self, index: int, worker: WorkerProcess, message: tuple[Any, ...]) -> None:
        kind, *content = message
        if kind == "ready":
            worker.ready = True
            self._died_at_start = 0
        elif kind == "broken":
            (failure,) = content
            raise start_error(failure.text, failure.traceback)
        elif kind == "report":
            assert worker.task is not None
            worker.step, metrics = content
            worker.answer(self._work.report(worker.task, worker.step, metrics))
            if self._may_grow:
                self._compare(worker)
        else:
            self._take_result(index, worker, *content)

    def _take_result(
        self, index: int, worker: WorkerProcess, result: Outcome | Failure, use: GpuUse | None
    ) -> None:
        task, worker.task, worker.warm = worker.task, None, True
        assert task is not None
        if not isinstance(result, Outcome) and result.kind in UNFIT:
            # Its process keeps the error: after some, every further call of CUDA fails.
            worker.ready, worker.unfit = False, True
            worker.end()
            self._work.lose(task, result)
            self._sharing.unfit(index, len(self._workers), task.number, result)
            return
        self._sharing.fit(index)
        if isinstance(result, Outcome):
            self._work.finish(task, result)
            if use is not None and result.metrics:  # a trial, not a call
                self._grow(use, worker.pid)
        elif (
            result.kind == "OutOfMemory"
            and use is not None
            and self._sharing.retire(index, len(self._workers))
        ):
            self._work.lose(task, result)  # run again, on a GPU with one worker fewer
        else:
            self._work.fail(task, result)

    def _collect_exit(self, index: int, worker: WorkerProcess) -> None:
        """Remove a worker that has died, tell the work, and replace it."""
        message, tail = worker.collect_exit()
        task, ready = worker.task, worker.ready
        worker.task = None
        self._remove(index)
        if not (ready or worker.unfit or self._sharing.retired(index)):
            self._died_at_start += 1
            if self._died_at_start >= _DIED_AT_START:
                raise start_error(message, tail)
        if task is not None:
            self._work.lose(task, Failure(kind="WorkerLost", message=message, traceback=tail))
        self._replace()

    def _replace(self) -> None:
        """Start the missing workers, unless the run ends."""
        if not self._stopping:
            for worker in self._spawn():
                worker.load(self._payload)

    def _grow(self, use: GpuUse, pid: int) -> None:
        """Once, add as many workers like ``pid`` as the GPUs' and the main memory have room for."""
        there = len(self._workers)
        more = self._sharing.room(use, there, host=memory(pid), free=machine.free_memory())
        if more:
            self._sharing.growth.grown(there, there + more)
            self._workers += [None] * more
            self._cpus += [[]] * more
            self._replace()

    def _compare(self, worker: WorkerProcess) -> None:
        """Return to fewer workers if the added ones have made the study no faster."""
        seconds, counts, worker.warm = worker.waited(), worker.warm, True
        crowded = all(one is not None and one.warm and one.task for one in self._workers)
        back = self._sharing.growth.reported(seconds, crowded=crowded) if counts else 0
        for index in range(back, len(self._workers) if back else 0):
            self._sharing.retire(index, len(self._workers))

    def _alive(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None]

    def _places(self) -> list[tuple[int, WorkerProcess]]:
        """Return the living workers by their places."""
        return [(index, one) for index, one in enumerate(self._workers) if one is not None]

    def _spawn(self) -> list[WorkerProcess]:
        """Start the workers that are missing, and return them."""
        started = []
        for index, worker in enumerate(self._workers):
            if worker is None and not self._sharing.retired(index):
                assert self._starter is not None, "enter the engine first: `with engine:`"
                new = self._starter.start(self._cpus[index], self._sharing.gpu(index))
                self._workers[index] = new
                started.append(new)
        return started

    def _remove(self, index: int) -> None:
        worker, self._workers[index] = self._workers[index], None
        if worker is not None:
            worker.close()


create = Local
