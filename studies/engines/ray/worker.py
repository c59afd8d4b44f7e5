"""A worker of the engine ``ray``: a Ray Tune trainable that runs one task after the other.

Tune asks for a step; the worker lets the objective run on to its next report and returns that. A
step is thus one report, and the objective waits in ``report`` until Tune asks for the next one. If
the driver has called ``end`` before, ``report`` raises ``StopTraining`` instead, the objective
winds up, and its outcome comes back like any other: a stopped trial loses nothing.

The objective runs in a greenlet, so in the main thread, as everywhere else: torch's threads and
the C library's memory are not those of a thread that comes and goes. The process, with all that it
has imported and loaded, is used again for the next task.
"""

import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import psutil
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]
from ray import tune
from ray.experimental import internal_kv

from objectives.base import Objective
from studies.core.trials import UNFIT, Failure, Limits
from studies.engines._local import limits as _limits
from studies.engines._local.execution import execute, failure_of
from studies.engines.ray.events import (
    EVENT,
    KNOWN,
    TASK,
    Broken,
    Event,
    Finished,
    Reported,
    Started,
)
from studies.engines.ray.tasks import find_in


class Worker(tune.Trainable):
    """Runs the tasks that come as ``config["task"]``, one at a time."""

    def setup(
        self,
        config: dict[str, Any],
        payload: bytes = b"",
        path: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        """Load the objective.

        Args:
            config: holds the first task.
            payload: the pickled objective.
            path: the driver's module search path, for objectives that only it can find.
            limits: of each task; here only memory is watched.
        """
        self._limits = Limits(memory=limits.memory if limits else 0)
        self._running: greenlet | None = None
        self._ending = False
        self._last_step = 0
        self._objective: Objective | Failure
        find_in(path)
        try:
            self._objective = pickle.loads(payload)
        except Exception as error:  # anything may go wrong while modules are imported
            self._objective = failure_of(error)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Be ready for the next task."""
        self.cleanup()
        return True

    def step(self) -> dict[str, Any]:
        """Return the next event of the task."""
        if isinstance(self._objective, Failure):
            return {EVENT: Broken(self._objective)}
        if self._running is None:
            self._running = greenlet(self._run)
            return {EVENT: Started(*self._place())}
        event: Event = self._running.switch(not self._ending)
        if isinstance(event, Finished):
            return {EVENT: event, "done": True}
        return {EVENT: event}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: an objective keeps the state of its training itself, at each report."""
        return {"step": self._last_step}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: the objective finds its state."""

    def end(self) -> None:
        """Have the report that waits for its answer raise ``StopTraining``."""
        self._ending = True

    def cleanup(self) -> None:
        """Unwind a task that nobody waits for any more."""
        if self._running is not None:
            self._running.throw()
        self._running, self._ending = None, False

    def _run(self, _: bool) -> Finished:
        assert not isinstance(self._objective, Failure)
        driver = getcurrent().parent
        self._last_step = 0

        def send(step: int, metrics: Mapping[str, float]) -> bool:
            self._last_step = step
            if step <= self.config.get(KNOWN, 0):
                return True
            return bool(driver.switch(Reported(step, metrics)))

        over = threading.Event()
        if self._limits.memory:
            threading.Thread(target=self._watch, args=(over,), daemon=True).start()
        try:
            result = execute(self._objective, self.config[TASK], send)
            if isinstance(result, Failure) and result.kind in UNFIT:
                self._leave(result)  # Ray starts another process
            return Finished.of(result)
        finally:
            over.set()

    def _place(self) -> tuple[str, int]:
        ip, pid = self.get_current_ip_pid()  # type: ignore[no-untyped-call]
        return ip, pid

    def _watch(self, over: threading.Event) -> None:
        """End this process, and leave the reason, when it takes too much memory."""
        while not over.wait(_limits.POLL):
            failure = _limits.over(self._limits, os.getpid(), 0.0, self._last_step)
            if failure is not None:
                self._leave(failure)

    def _leave(self, failure: Failure) -> NoReturn:
        """End this process and all that it started; leave the reason."""
        internal_kv._internal_kv_put(last_words(*self._place()), pickle.dumps(failure))
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)


def last_words(ip: str, pid: int) -> bytes:
    """Return the key under which a worker leaves the ``Failure`` that it ends itself for."""
    return f"studies/last_words/{ip}/{pid}".encode()
