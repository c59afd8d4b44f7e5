"""The engine ``fused``: several trials in this process, whose trainings share their steps.

For GPUs, which a small model leaves idle: trainings of one architecture become one stacked model
(``mnist_core.stacked``), and what cannot be stacked takes turns. A crash of the objective ends the
program; the next run resumes the study.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from objectives.base import Objective, Outcome, Task
from studies.core.trials import INTERRUPTED, NO_LIMITS, UNFIT, Failure, Limits
from studies.engines._local import limits as _limits
from studies.engines._local.execution import Unwound, execute
from studies.engines._local.worker_start import unfit_error
from studies.engines.base import ALL, Resources, Work

if TYPE_CHECKING:  # torch takes seconds to import
    from mnist_core.stacked.together import Together
    from mnist_core.stacked.turns import Turn
    from mnist_core.trainer.training import Steps


def create(
    *, workers: int, threads: int, preload: Sequence[str] = (), resources: Resources = ALL
) -> "Fused":
    """Return the engine; ``workers`` is the number of trials at once."""
    return Fused(workers, resources)


class _StoppedNow(Unwound):
    """Unwinds an objective after ``stop(now=True)``, past any ``except Exception``."""


class _OverLimit(Unwound):
    """Unwinds an objective that is over a limit."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


@dataclass(frozen=True)
class _Trial:
    task: Task
    began: float


class Fused:
    """Runs trials by turns in the calling thread."""

    processes = 1
    """In which trials run, whatever their number."""

    def __init__(self, trials: int, resources: Resources) -> None:
        self._most, self._resources = trials, resources
        self._stopping = False
        self._now = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks; limits are checked at each report only.

        Raises:
            UserError: if this process cannot use its device.
        """
        # Torch comes with the first run: a study that is looked at needs none.
        from mnist_core.stacked.gain import Gains
        from mnist_core.stacked.together import Together

        gains = Gains(self._most, always=self._resources.stack == "always", say=self._resources.say)
        together = Together(may_stack=gains.worth_it)
        trials: dict[Turn, _Trial] = {}
        try:
            while not self._now:
                self._begin(work, objective, limits, together, trials)
                if not trials:
                    return
                ended = together.resume()
                for turn in ended:
                    self._end(work, trials.pop(turn), turn)
                if not ended:  # otherwise new trials come first: they join at the same time
                    together.step()
        finally:
            together.close(_StoppedNow())
        for trial in trials.values():
            work.lose(trial.task, INTERRUPTED)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trials, at the next report."""
        self._stopping = True
        self._now = self._now or now

    def _begin(
        self,
        work: Work,
        objective: Objective,
        limits: Limits,
        together: "Together",
        trials: "dict[Turn, _Trial]",
    ) -> None:
        """Start trials until there are as many as there may be."""
        while not self._stopping and len(trials) < self._most:
            task = work.ask()
            if task is None:
                return
            work.started(task, os.getpid())
            trial = _Trial(task, time.monotonic())

            def call(turn: "Turn", steps: "Steps", trial: _Trial = trial) -> Outcome | Failure:
                def send(step: int, metrics: Mapping[str, float]) -> bool:
                    # The study is written in one thread, so the answer is given there.
                    answer = turn.ask(lambda: self._answer(work, trial, limits, step, metrics))
                    if isinstance(answer, Unwound):
                        raise answer
                    return bool(answer)

                return execute(_with_steps(objective, steps), trial.task, send)

            trials[together.add(call)] = trial

    def _answer(
        self, work: Work, trial: _Trial, limits: Limits, step: int, metrics: Mapping[str, float]
    ) -> bool | Unwound:
        """Return whether ``trial`` continues, or how it ends at once."""
        if self._now:
            return _StoppedNow()
        if limits != NO_LIMITS:
            seconds = time.monotonic() - trial.began
            if (over := _limits.over(limits, os.getpid(), seconds, step)) is not None:
                return _OverLimit(over)
        # The same order as in the other engines, so the trail is the same, too.
        continues = work.report(trial.task, step, metrics)
        work.flush(now=False)
        return continues

    def _end(self, work: Work, trial: _Trial, turn: "Turn") -> None:
        try:
            result: Outcome | Failure = turn.result()
        except _StoppedNow:
            work.lose(trial.task, INTERRUPTED)
            return
        except _OverLimit as over:
            work.fail(trial.task, over.failure)
            return
        if isinstance(result, Outcome):
            work.finish(trial.task, result)
        elif result.kind in UNFIT:
            work.lose(trial.task, result)
            raise unfit_error(result, 1)
        else:
            work.fail(trial.task, result)


def _with_steps(objective: Objective, steps: "Steps") -> Objective:
    """Return ``objective`` with trainings that have ``steps``; others train, or not, as they do."""
    shared: Any = getattr(objective, "with_steps", None)
    return objective if shared is None else shared(steps)
