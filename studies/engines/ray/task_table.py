"""The tasks that run on Ray, between the work and Tune's extension points."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray

from objectives.base import Outcome, Task
from studies.core.trials import INTERRUPTED, UNFIT, Failure, Limits
from studies.engines._local.gpu_sharing import IN_A_ROW
from studies.engines._local.worker_start import start_error, unfit_error
from studies.engines.base import Work
from studies.engines.ray.ray_internals import take_last_words

_DIED_AT_START = 3
"""Workers in a row that die before they start a task; then the run ends ..."""

_UNSETTLED = 60.0
"""... unless another worker started one in these last seconds: a node that goes away takes along
the workers that were to start there, until Ray knows that it is gone."""


@dataclass
class Running:
    """A task that Tune has, with what is known of its worker.

    Attributes:
        began: ``time.monotonic()`` when the worker started it; None: not yet.
        place: the worker's node and process.
        step: its last report.
        failure: why its worker was killed.
        actor: the worker, to speak to.
    """

    task: Task
    began: float | None = None
    place: tuple[str, int] | None = None
    step: int = 0
    failure: Failure | None = None
    actor: Any = None


class TaskTable:
    """The running tasks, and the work that gives them; Tune's extension points share it.

    Attributes:
        running: by the identity of Tune's trial.
        error: the first error that the work raised; the run ends with it.
        stopping: start nothing more.
        now: end what runs.
    """

    def __init__(self, work: Work, *, places: int, limits: Limits) -> None:
        self.work = work
        self.limits = limits
        self.error: Exception | None = None
        self.stopping = self.now = False
        self.running: dict[str, Running] = {}
        self._places = places
        self._died_at_start = self._unfit = 0
        self._last_start = -math.inf

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune copies what it is given, but nothing is resumed from the copies."""
        return {}

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Keep an error of the work, which Tune would turn into another one."""
        try:
            yield
        except Exception as error:  # raised again when Tune has ended
            self.error = self.error or error
            self.now = True

    def ask(self, identity: str) -> Task | None:
        """Return the next task if there is a place for it."""
        if self.stopping or self.now or len(self.running) >= self._places:
            return None
        task = None
        with self.guard():
            self.work.flush()  # a report that ends the study comes before the next trial
            task = None if self.stopping else self.work.ask()
        if task is not None:
            self.running[identity] = Running(task)
        return task

    def started(self) -> None:
        """Note that a worker has started its task: workers can start."""
        self._died_at_start, self._last_start = 0, time.monotonic()

    def finish(self, identity: str, result: Outcome | Failure | None, lost: str) -> None:
        """Tell the work how a task ended; None: its worker died, ``lost`` says how."""
        running = self.running.pop(identity, None)
        if running is None:
            return
        with self.guard():
            if isinstance(result, Outcome):
                self._unfit = 0
                self.work.finish(running.task, result)
                return
            failure = result or running.failure
            if failure is None and running.place is not None:
                failure = take_last_words(*running.place)
            if failure is None:
                self._lose(running, lost)
            elif failure.kind in UNFIT:
                self._lose_unfit(running.task, failure)
            else:
                self.work.fail(running.task, failure)

    def interrupt(self) -> None:
        """End every running task at once and give it back."""
        for running in self.running.values():
            if running.actor is not None:
                ray.kill(running.actor)
        interrupted, self.running = self.running, {}
        for running in interrupted.values():
            with self.guard():
                self.work.lose(running.task, INTERRUPTED)

    def _lose(self, running: Running, message: str) -> None:
        if running.began is not None:
            self.work.lose(running.task, Failure(kind="WorkerLost", message=message))
            return
        # Not the trial's fault, unless it happens again and again wherever it is placed.
        self._died_at_start += 1
        settled = time.monotonic() > self._last_start + _UNSETTLED
        if self._died_at_start >= _DIED_AT_START and settled:
            raise start_error(message, "")
        # It was not tried, so it costs none of its retries.
        self.work.lose(running.task, replace(INTERRUPTED, message=message))

    def _lose_unfit(self, task: Task, failure: Failure) -> None:
        """Give back a task whose worker could not use its device, and has ended itself."""
        self.work.lose(task, failure)
        self._unfit += 1
        if self._unfit >= IN_A_ROW * self._places:
            raise unfit_error(failure, self._unfit)


def how_it_died(error: object) -> str:
    """Return the line of Ray's error text that says how a worker died."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    telling = [line for line in lines if "\t" not in line and ": " not in line[:24]]
    said = next((line for line in telling if "died" in line and "because" in line), None)
    said = said or next((line for line in reversed(lines)), "its worker ended")
    return " ".join(said.split())[:300]
