"""The tasks that are out on Ray, between the work and Tune's extension points."""

import math
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.experimental import internal_kv

from objectives.base import Outcome, Task
from studies.core.trials import UNFIT, Failure, Limits
from studies.engines._local.gpu_sharing import IN_A_ROW
from studies.engines._local.worker_start import start_error, unfit_error
from studies.engines.base import Work
from studies.engines.ray.worker import last_words

_STILLBORN = 3
"""So many workers in a row that die before they have begun a task end the run ..."""

_UNSETTLED = 60.0
"""... unless others began one in the last so many seconds: a node that goes away takes along the
workers that were to start there, until Ray knows that it is gone."""

INTERRUPTED = Failure(kind="Interrupted", message="the run was stopped")


@dataclass
class Running:
    """A task that Tune has, with what is known of its worker.

    Attributes:
        task: the task.
        began: ``time.monotonic()`` when the worker began it; None: not yet.
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


class Desk:
    """What the extension points share: the work, and the tasks that are out.

    Args:
        work: what is worked off.
        places: tasks that may be out at once.
        limits: of each task.

    Attributes:
        error: the first error that the work raised; the run ends for it.
        stopping: nothing more is begun.
        now: what runs is ended.
    """

    def __init__(self, work: Work, *, places: int, limits: Limits) -> None:
        self.work = work
        self.limits = limits
        self.error: Exception | None = None
        self.stopping = self.now = False
        self.out: dict[str, Running] = {}
        self._places = places
        self._stillborn = self._unfit = 0
        self._lively = -math.inf

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps copies of what it is given, but nothing is resumed from them."""
        return {}

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Keep an error of the work: Tune would make another one of it."""
        try:
            yield
        except Exception as error:  # raised again when Tune has come to its end
            self.error = self.error or error
            self.now = True

    def ask(self, identity: str) -> Task | None:
        """Return the next task, if there is a place for it."""
        if self.stopping or self.now or len(self.out) >= self._places:
            return None
        task = None
        with self.guard():
            task = self.work.ask()
        if task is not None:
            self.out[identity] = Running(task)
        return task

    def over(self, identity: str, result: Outcome | Failure | None, lost: str) -> None:
        """Tell the work how a task ended; None: its worker died, ``lost`` says how."""
        running = self.out.pop(identity, None)
        if running is None:
            return
        with self.guard():
            if isinstance(result, Outcome):
                self._unfit = 0
                self.work.finish(running.task, result)
            elif failure := result or running.failure or _last_words(running):
                if failure.kind in UNFIT:
                    self._replace(running, failure)
                else:
                    self.work.fail(running.task, failure)
            else:
                self._lose(running, lost)

    def begun(self) -> None:
        """Note that a worker has begun its task: workers can start."""
        self._stillborn, self._lively = 0, time.monotonic()

    def _lose(self, running: Running, message: str) -> None:
        if running.began is None:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN and time.monotonic() > self._lively + _UNSETTLED:
                raise start_error(message, "")
            # It was not tried, so it costs none of its retries.
            self.work.lose(running.task, Failure(kind="Interrupted", message=message))
            return
        self.work.lose(running.task, Failure(kind="WorkerLost", message=message))

    def _replace(self, running: Running, failure: Failure) -> None:
        """Run a task again whose worker could not use its device, and has ended itself."""
        self.work.lose(running.task, failure)
        self._unfit += 1
        if self._unfit >= IN_A_ROW * self._places:
            raise unfit_error(failure, self._unfit)

    def interrupt(self) -> None:
        """Give back every task that is out, at once."""
        for running in self.out.values():
            if running.actor is not None:
                ray.kill(running.actor)
        out, self.out = self.out, {}
        for running in out.values():
            with self.guard():
                self.work.lose(running.task, INTERRUPTED)


def how(error: object) -> str:
    """Return the line of Ray's error text that says how a worker died."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    telling = [line for line in lines if "\t" not in line and ": " not in line[:24]]
    said = next((line for line in telling if "died" in line and "because" in line), None)
    said = said or next((line for line in reversed(lines)), "its worker ended")
    return " ".join(said.split())[:300]


def _last_words(running: Running) -> Failure | None:
    if running.place is None:
        return None
    said = internal_kv._internal_kv_get(last_words(*running.place))
    if said is None:
        return None
    internal_kv._internal_kv_del(last_words(*running.place))
    failure: Failure = pickle.loads(said)
    return failure
