"""What is wrong with what an objective says: numbers that are none, metrics that are missing."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from mnist_core.console.plain_text import counted
from objectives.base import Outcome, Task
from studies.core.events import Stream
from studies.core.goals import Goals
from studies.core.trials import INFEASIBLE, Failure


class Announcer:
    """Sends a book's events.

    Args:
        stream: where they go.
    """

    def __init__(self, stream: Stream) -> None:
        self._emit = stream.emit

    def phase(self, name: str, **facts: Any) -> None:
        """A phase has begun; ``facts``: total, done, counts, best or confirmed."""
        self._emit("phase", None, name=name, **facts)

    def say(self, text: str) -> None:
        """Something is worth a line."""
        self._emit("message", None, text=text, level="info")

    def started(self, task: Task, pid: int) -> None:
        """A worker has begun ``task``."""
        self._emit(
            "start",
            task.number,
            params=dict(task.params),
            seed=task.seed,
            attempt=task.attempt,
            pid=pid,
        )

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> Callable[[], None]:
        """Return what says that trial ``number`` reported."""
        return lambda: self._emit("report", number, step=step, metrics=dict(metrics))

    def pruned(self, trial: FrozenTrial, outcome: Outcome, seconds: float | None) -> None:
        """``trial`` was stopped; its value is its last report's."""
        last = trial.last_step
        self._emit(
            "pruned",
            trial.number,
            value=None if last is None else trial.intermediate_values[last],
            step=last,
            seconds=seconds,
            attributes=dict(outcome.attributes),
        )

    def complete(self, trial: FrozenTrial, outcome: Outcome, seconds: float | None) -> None:
        """``trial`` ran its full budget; its value is that of the first objective."""
        self._emit(
            "complete",
            trial.number,
            value=trial.values[0],
            metrics=dict(outcome.metrics),
            feasible=all(excess <= 0 for excess in trial.constraints.values()),
            seconds=seconds,
            attributes=dict(outcome.attributes),
        )

    def failed(self, trial: FrozenTrial, failure: Failure, seconds: float | None) -> None:
        """``trial`` has no result."""
        self._emit(
            "failed",
            trial.number,
            kind=failure.kind,
            message=failure.message,
            traceback=failure.traceback,
            seconds=seconds,
        )

    def lost(self, trial: FrozenTrial, failure: Failure, attempt: int) -> None:
        """``trial`` is put back to be run again."""
        self._emit(
            "lost", trial.number, kind=failure.kind, message=failure.message, attempt=attempt
        )


class Attempts:
    """The attempts that run now, by the number of their trial.

    Attributes:
        latest: the last metrics that each reported.
        failures: why one that goes on for a moment has failed already.
    """

    def __init__(self) -> None:
        self.latest: dict[int, Mapping[str, float]] = {}
        self.failures: dict[int, Failure] = {}
        self._began: dict[int, float] = {}

    def begin(self, number: int) -> None:
        """Note that an attempt of trial ``number`` begins now."""
        self._began[number] = time.monotonic()

    def seconds(self, number: int) -> float | None:
        """Return for how long the attempt of trial ``number`` has run, None if it never began."""
        began = self._began.get(number)
        return None if began is None else time.monotonic() - began

    def end(self, number: int) -> None:
        """Forget the attempt of trial ``number``."""
        self.latest.pop(number, None)
        self.failures.pop(number, None)
        self._began.pop(number, None)


_LONGEST_NAME = 512
"""Characters that Optuna's tables have room for."""


def failure_in_report(metric: str, metrics: Mapping[str, float], step: int) -> Failure | None:
    """Return why the trial of a report cannot go on, or None.

    Args:
        metric: the study's.
        metrics: of the report.
        step: of the report.
    """
    return _problem(metric, metrics.get(metric), f"at step {step}")


def failure_of(goals: Goals, outcome: Outcome) -> Failure | None:
    """Return why ``outcome`` is none that its study can use, or None."""
    if outcome.stopped and (over := goals.over(outcome.metrics)) and _untrained(goals, outcome):
        return Failure(kind=INFEASIBLE, message=f"{over}; not trained")
    failure = _unfit(outcome)
    if outcome.stopped:
        return failure
    for name in dict.fromkeys((*goals.names, *goals.limits)):
        failure = failure or _problem(name, outcome.metrics.get(name), "at the end")
    return failure


def given_up(failure: Failure, losses: int) -> Failure:
    """Return the failure of a trial that was lost ``losses`` times, last by ``failure``."""
    times = "once" if losses == 1 else counted(losses, "time")
    return replace(failure, message=f"lost {times}, given up; last: {failure.message}")


def _untrained(goals: Goals, outcome: Outcome) -> bool:
    """Whether the objective ended before it trained: then it knows nothing of the metric."""
    return goals.metric not in outcome.metrics


def _problem(name: str, value: float | None, when: str) -> Failure | None:
    if value is None:
        return Failure(kind="MissingMetric", message=f"the objective gave no {name} {when}")
    if math.isfinite(value):
        return None
    return Failure(kind="NonFiniteLoss", message=f"{name} is {value} {when}")


def _unfit(outcome: Outcome) -> Failure | None:
    """Return a failure when an attribute cannot be stored."""
    for name, value in outcome.attributes.items():
        if len(name) > _LONGEST_NAME:
            message = (
                f"attribute {name[:40]!r} … has a name of more than {_LONGEST_NAME} characters"
            )
            return Failure(kind="BadOutcome", message=message)
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            message = f"attribute {name!r} is no JSON value: {error}"
            return Failure(kind="BadOutcome", message=message)
    return None
