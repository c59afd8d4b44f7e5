"""A ``Work`` as Ray Tune sees it: what to run next, whether a trial continues, when to stop.

These are Tune's extension points. The one thread that runs ``Tuner.fit`` calls them all.
"""

import functools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from objectives.base import Outcome, Task
from studies.core.trials import Failure, Limits
from studies.engines._local import limits
from studies.engines._local.worker_start import start_error
from studies.engines.ray.events import EVENT, TASK, Broken, Finished, Reported, Started
from studies.engines.ray.ray_internals import actor_of
from studies.engines.ray.task_table import Running, TaskTable, how_it_died
from studies.planning.ray_settings import RaySettings
from studies.spec import StudySpec


class WorkSearcher(Searcher):
    """Gives Tune a trial for each task of the work, and tells the work how it ended."""

    def __init__(self, table: TaskTable) -> None:
        super().__init__()
        self._table = table
        self.lost: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next task; None: not now; ``FINISHED``: no more."""
        task = self._table.ask(trial_id)
        if task is not None:
            return {TASK: task}
        finished: Any = Searcher.FINISHED  # a string, whatever its declared type
        return None if self._table.running else finished

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the work."""
        event = (result or {}).get(EVENT)
        ended = event.read() if isinstance(event, Finished) and not error else None
        running = self._table.running.get(trial_id)
        if running is not None:
            ended = self._ended(running.task, ended)
        self._table.finish(trial_id, ended, self.lost.pop(trial_id, "its worker ended"))

    def _ended(self, task: Task, ended: Outcome | Failure | None) -> Outcome | Failure | None:
        """Return what the work is told of a task that ended; None: its worker died."""
        return ended

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a run is resumed from the study."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, see ``save``."""


class FairAsha:
    """Tune's ASHA as the pruners are: one for each choice, and it never stops a default.

    ``reports``: the most of a trial.
    """

    def __init__(self, spec: StudySpec, settings: RaySettings, reports: int) -> None:
        self._spec = spec
        grace, factor = settings.asha_grace, settings.asha_factor
        create = functools.partial(
            ASHAScheduler,
            metric=spec.metric,
            mode="max" if spec.direction == "maximize" else "min",
            max_t=reports,
            grace_period=grace,
            reduction_factor=factor,
            stop_last_trials=False,  # a trial at the end has had its full budget
        )
        self._of_choice: dict[Any, TrialScheduler] = defaultdict(create)
        self._known: dict[int, Trial] = {}
        count = int(math.log(max(1, reports / grace), factor)) + 1
        self._rungs = {math.ceil(grace * factor**rung) for rung in range(count)}

    def continues(
        self, controller: Any, task: Task, step: int, metrics: Mapping[str, float]
    ) -> bool:
        """Take a report; return whether ``task`` continues."""
        # Asked at a step between two rungs, Tune enters a trial that it has not seen yet with the
        # value of that step.
        metric = self._spec.metric
        if metric not in metrics or step not in self._rungs:
            return True
        asha = self._of_choice[task.params.get(self._spec.scientific)]
        if task.number not in self._known:
            # Tune gives a trial that is run again another name, and would count it twice.
            named = cast(Trial, SimpleNamespace(trial_id=str(task.number)))
            self._known[task.number] = named
            asha.on_trial_add(controller, named)
        trial = self._known[task.number]
        result = {metric: metrics[metric], "training_iteration": step}
        decision = asha.on_trial_result(controller, trial, result)
        # A default is entered into the rungs, too, so the others are compared with it.
        return task.number < len(self._spec.defaults) or decision == TrialScheduler.CONTINUE


class WorkScheduler(FIFOScheduler):
    """Asks the work, and then ``asha``, whether a trial continues.

    Args:
        searcher: gets to know how workers died.
        asha: stops trials as well; None: the work decides alone.
    """

    def __init__(
        self, table: TaskTable, searcher: WorkSearcher, asha: FairAsha | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._table, self._searcher, self._asha = table, searcher, asha

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return None: trials start in the order in which they came."""
        return None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take an event that does not end the task."""
        self.take(tune_controller, trial, result)
        return str(TrialScheduler.CONTINUE)

    def take(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> bool:
        """Take an event; return whether the task continues."""
        running = self._table.running.get(trial.trial_id)
        continues = False
        if running is not None:
            with self._table.guard():
                continues = self._take(tune_controller, trial, running, result[EVENT])
        return continues

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep how the worker died, for the searcher."""
        try:
            text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
        except (OSError, TypeError):  # TypeError: the trial has no folder yet
            text = ""
        self._searcher.lost[trial.trial_id] = how_it_died(text)

    def _take(self, controller: Any, trial: Trial, running: Running, event: Any) -> bool:
        work = self._table.work
        if isinstance(event, Broken):
            failure = event.failure
            raise start_error(failure.text, failure.traceback)
        running.actor = actor_of(trial)
        if isinstance(event, Started):
            running.began, running.place = time.monotonic(), (event.ip, event.pid)
            self._table.started()
            work.started(running.task, event.pid)
        elif isinstance(event, Reported):
            running.step = event.step
            continues = work.report(running.task, event.step, event.metrics)
            if continues and self._asha is not None:
                continues = self._asha.continues(
                    controller, running.task, event.step, event.metrics
                )
            if not continues:
                # Comes before the next step: Ray keeps the order of one caller's calls.
                running.actor.end.remote()
            return continues
        return True


class WorkStopper(tune.Stopper):
    """Ends everything when the table says so; ``check`` raises when no task can start any more."""

    def __init__(self, table: TaskTable, check: Callable[[], None]) -> None:
        self._table = table
        self._check = check

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as for the table."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: no single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Return whether to stop now."""
        # Tune asks about ten times a second, so limits and writes are looked after here. Callbacks
        # are made for that, but with one Tune imports every installed tracker, which takes seconds.
        table = self._table
        with table.guard():
            table.work.flush(now=False)
            for running in table.running.values():
                self._limit(running)
            if table.running and all(one.began is None for one in table.running.values()):
                self._check()
        if table.now:
            table.interrupt()
        return table.now

    def _limit(self, running: Running) -> None:
        if running.began is None or running.failure is not None or running.actor is None:
            return
        time_only = Limits(seconds=self._table.limits.seconds)
        seconds = time.monotonic() - running.began
        running.failure = limits.over(time_only, 0, seconds, running.step)
        if running.failure is not None:
            ray.kill(running.actor)
