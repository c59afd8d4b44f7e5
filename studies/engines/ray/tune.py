"""A ``Work`` as Ray Tune sees it: what to run next, whether to go on, when to stop.

Tune's extension points, all called from the one thread that runs ``Tuner.fit``:

* ``WorkSearcher``: a new Tune trial is what the work asks for, one for each free place; one that
  is over is told to the work. Tune itself retries nothing: the work does.
* ``WorkScheduler``: hands each report to the work, and also to Tune's ASHA, if that was chosen. Who
  is stopped is told so, and goes on to wind up: Tune sees it end by itself, so that its outcome
  comes back.
* ``WorkStopper``: stop now, limits of time, writing what reports put off.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from objectives.base import Outcome, Task
from studies.core.trials import Failure, Limits
from studies.engines._local import limits
from studies.engines._local.worker_start import start_error
from studies.engines.ray.asha import FairAsha
from studies.engines.ray.desk import Desk, Running, how
from studies.engines.ray.events import EVENT, TASK, Broken, Finished, Reported, Started


class WorkSearcher(Searcher):
    """Asks the work."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.lost: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next task; None: not now; ``FINISHED``: no more."""
        task = self._desk.ask(trial_id)
        if task is not None:
            return {TASK: task}
        finished: Any = Searcher.FINISHED  # a string, whatever its declared type
        return None if self._desk.out else finished

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the work."""
        event = (result or {}).get(EVENT)
        ended = event.read() if isinstance(event, Finished) and not error else None
        running = self._desk.out.get(trial_id)
        if running is not None:
            ended = self._ended(running.task, ended)
        self._desk.over(trial_id, ended, self.lost.pop(trial_id, "its worker ended"))

    def _ended(self, task: Task, ended: Outcome | Failure | None) -> Outcome | Failure | None:
        """Return what the work is told of a task that is over; None: its worker died."""
        return ended

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is what a run is resumed from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""


class WorkScheduler(FIFOScheduler):
    """Asks the work whether a trial goes on, and then ``asha``.

    Args:
        desk: shared with the searcher.
        searcher: gets to know how workers died.
        asha: stops trials, too; None: the work decides alone.
    """

    def __init__(self, desk: Desk, searcher: WorkSearcher, asha: FairAsha | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._desk, self._searcher, self._asha = desk, searcher, asha

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """None: trials are begun in the order in which they came."""
        return None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take an event that does not end the task."""
        self.take(tune_controller, trial, result)
        return str(TrialScheduler.CONTINUE)

    def take(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> bool:
        """Take an event; return whether the task goes on as if nothing had been."""
        running = self._desk.out.get(trial.trial_id)
        goes_on = False
        if running is not None:
            with self._desk.guard():
                goes_on = self._take(tune_controller, trial, running, result[EVENT])
        return goes_on

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep how the worker died, for the searcher."""
        try:
            text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
        except (OSError, TypeError):  # TypeError: the trial has no folder yet
            text = ""
        self._searcher.lost[trial.trial_id] = how(text)

    def _take(self, controller: Any, trial: Trial, running: Running, event: Any) -> bool:
        work = self._desk.work
        if isinstance(event, Broken):
            failure = event.failure
            raise start_error(f"{failure.kind}: {failure.message}", failure.traceback)
        running.actor = trial.temporary_state.ray_actor
        if isinstance(event, Started):
            running.began, running.place = time.monotonic(), (event.ip, event.pid)
            self._desk.begun()
            work.started(running.task, event.pid)
        elif isinstance(event, Reported):
            running.step = event.step
            goes_on = work.report(running.task, event.step, event.metrics)
            if goes_on and self._asha is not None:
                goes_on = self._asha.goes_on(controller, running.task, event.step, event.metrics)
            if not goes_on:
                running.actor.end.remote()  # comes before the next step: one caller, one order
            return goes_on
        return True


class WorkStopper(tune.Stopper):
    """Ends everything when the desk says so; Tune asks it at each step, about ten times a second.

    So what is to be done again and again is done here, too: limits, and writing what reports put
    off. (Tune has callbacks for that, but imports every tracker that is installed when it gets one,
    which takes seconds.)

    Args:
        desk: shared with the others.
        check: raises when no task can begin any more; called while none runs.
    """

    def __init__(self, desk: Desk, check: Callable[[], None]) -> None:
        self._desk = desk
        self._check = check

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of the desk."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Look, and say whether to stop now."""
        desk = self._desk
        with desk.guard():
            desk.work.flush()
            for running in desk.out.values():
                self._limit(running)
            if desk.out and all(running.began is None for running in desk.out.values()):
                self._check()
        if desk.now:
            desk.interrupt()
        return desk.now

    def _limit(self, running: Running) -> None:
        if running.began is None or running.failure is not None or running.actor is None:
            return
        time_only = Limits(seconds=self._desk.limits.seconds)
        seconds = time.monotonic() - running.began
        running.failure = limits.over(time_only, 0, seconds, running.step)
        if running.failure is not None:
            ray.kill(running.actor)
