"""A worker of the engine ``ray``: a Ray Tune trainable that runs tasks, one at a time.

Tune asks for a step. The worker lets the objective run to its next report and returns that. The
objective waits in ``report`` until Tune asks for the next step. If the driver has called ``end``
before, ``report`` raises ``StopTraining``, and the outcome comes back like any other.
"""

import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import psutil
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]
from ray import tune

from objectives.base import Objective
from studies.core.trials import UNFIT, Failure, Limits
from studies.engines._local import limits as _limits
from studies.engines._local.execution import Unwound, execute, failure_of
from studies.engines.ray.calls import extend_path
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
from studies.engines.ray.ray_internals import leave_last_words


class Worker(tune.Trainable):
    """Runs the tasks that come as ``config["task"]``."""

    def setup(
        self,
        config: dict[str, Any],
        payload: bytes = b"",
        path: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        """Load the pickled objective; ``path``: the driver's module search path."""
        # The driver counts a trial's seconds; only this process can see its own memory.
        self._limits = Limits(memory=limits.memory if limits else 0)
        # The objective runs in a greenlet, so in the main thread as everywhere else: torch's
        # threads and the C library's memory belong to a thread.
        self._running: greenlet | None = None
        self._ending = False
        self._last_step = 0
        self._objective: Objective | Failure
        extend_path(path)  # for objectives that only the driver can find
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
        """Save nothing: an objective keeps the state of its training itself, at each report."""
        return {"step": self._last_step}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Load nothing: the objective finds its state."""

    def end(self) -> None:
        """Have the report that waits for its answer raise ``StopTraining``."""
        self._ending = True

    def cleanup(self) -> None:
        """Unwind a task whose result is not needed any more."""
        if self._running is not None:
            with suppress(Unwound):
                self._running.throw(Unwound)
        self._running, self._ending = None, False

    def _run(self, _: bool) -> Finished:
        assert not isinstance(self._objective, Failure)
        driver = getcurrent().parent
        self._last_step = 0

        def send(step: int, metrics: Mapping[str, float]) -> bool:
            self._last_step = step
            # A member resumes from its last state, which may be older than its last report.
            if step <= self.config.get(KNOWN, 0):
                return True
            return bool(driver.switch(Reported(step, metrics)))

        finished = threading.Event()
        if self._limits.memory:
            threading.Thread(target=self._watch, args=(finished,), daemon=True).start()
        try:
            result = execute(self._objective, self.config[TASK], send)
            if isinstance(result, Failure) and result.kind in UNFIT:
                self._leave(result)  # Ray starts another process
            return Finished.of(result)
        finally:
            finished.set()

    def _place(self) -> tuple[str, int]:
        ip, pid = self.get_current_ip_pid()  # type: ignore[no-untyped-call]
        return ip, pid

    def _watch(self, finished: threading.Event) -> None:
        """End this process, and leave the reason, when it takes too much memory."""
        while not finished.wait(_limits.POLL):
            failure = _limits.over(self._limits, os.getpid(), 0.0, self._last_step)
            if failure is not None:
                self._leave(failure)

    def _leave(self, failure: Failure) -> NoReturn:
        """End this process and all that it started; leave the reason."""
        # Tune would tell only that the actor died, and not why.
        leave_last_words(*self._place(), failure)
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)
