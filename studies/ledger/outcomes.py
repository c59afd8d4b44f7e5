"""What an attempt at a trial reports and results in, why it fails, and the events that tell it."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from optuna.trial import FrozenTrial

from mnist_core.console.plain_text import counted
from objectives.base import Outcome, Task
from studies.core.events import Kind, Stream
from studies.core.goals import Goals, judged_by
from studies.core.trials import INFEASIBLE, Failure
from studies.search.failures import is_feasible

_LONGEST_NAME = 512
_MOST = 1e100
"""The greatest value of a metric: the squares of larger ones are too large for a variance."""
"""Characters that Optuna's tables have room for."""


class RunningAttempts:
    """The attempts that run now, by the number of their trial.

    Attributes:
        latest: the metrics that each reported last.
        failures: why an attempt that is about to be stopped has failed.
        pausing: attempts that are about to be stopped because their trial is paused.
    """

    def __init__(self) -> None:
        self.latest: dict[int, Mapping[str, float]] = {}
        self.failures: dict[int, Failure] = {}
        self.pausing: set[int] = set()
        self._started: dict[int, float] = {}

    def start(self, number: int) -> None:
        """Note that an attempt at trial ``number`` starts now."""
        self._started[number] = time.monotonic()

    def seconds(self, number: int) -> float | None:
        """Return how long the attempt at trial ``number`` has run, None if it never started."""
        started = self._started.get(number)
        return None if started is None else time.monotonic() - started

    def end(self, number: int) -> None:
        """Forget the attempt at trial ``number``."""
        self.latest.pop(number, None)
        self.failures.pop(number, None)
        self.pausing.discard(number)
        self._started.pop(number, None)


class TrialEvents:
    """Sends a book's events to ``stream``."""

    def __init__(self, stream: Stream) -> None:
        self._emit = stream.emit

    def phase(self, name: str, **facts: Any) -> None:
        """A phase has started; ``facts``: total, done, counts, best or confirmed."""
        self._emit("phase", None, name=name, **facts)

    def say(self, text: str) -> None:
        """Something is worth a line."""
        self._emit("message", None, text=text, level="info")

    def started(self, task: Task, pid: int, label: str) -> None:
        """A worker has started ``task``; ``label`` is the configuration's, "" in the search."""
        self._emit(
            "start",
            task.number,
            params=dict(task.params),
            seed=task.seed,
            attempt=task.attempt,
            pid=pid,
            **({"label": label} if label else {}),
        )

    def pruned(self, trial: FrozenTrial, outcome: Outcome, seconds: float | None) -> None:
        """``trial`` was stopped; its value is its last report's."""
        last = trial.last_step
        value = None if last is None else trial.intermediate_values[last]
        self._ended("pruned", trial, outcome, seconds, value=value, step=last)

    def paused(self, trial: FrozenTrial, seconds: float | None) -> None:
        """``trial`` was paused at its last report."""
        last = trial.last_step
        value = None if last is None else trial.intermediate_values[last]
        self._emit("paused", trial.number, value=value, step=last, seconds=seconds)

    def complete(self, trial: FrozenTrial, outcome: Outcome, seconds: float | None) -> None:
        """``trial`` ran its full budget; its value is that of the first objective."""
        metrics, value = dict(outcome.metrics), trial.values[0]
        facts = {"value": value, "metrics": metrics, "feasible": is_feasible(trial)}
        self._ended("complete", trial, outcome, seconds, **facts)

    def _ended(
        self, kind: Kind, trial: FrozenTrial, outcome: Outcome, seconds: float | None, **facts: Any
    ) -> None:
        attributes = dict(outcome.attributes)
        self._emit(kind, trial.number, **facts, seconds=seconds, attributes=attributes)

    def failed(self, trial: FrozenTrial, failure: Failure, seconds: float | None) -> None:
        """``trial`` has no result."""
        self._emit("failed", trial.number, **asdict(failure), seconds=seconds)

    def lost(self, trial: FrozenTrial, failure: Failure, attempt: int) -> None:
        """``trial`` waits to be run again."""
        self._emit(
            "lost", trial.number, kind=failure.kind, message=failure.message, attempt=attempt
        )


def failure_of(goals: Goals, outcome: Outcome) -> Failure | None:
    """Return why the study cannot use ``outcome``, or None."""
    # A model that is over a limit is not trained at all.
    untrained = goals.metric not in outcome.metrics
    if outcome.stopped and untrained and (over := goals.over(outcome.metrics)):
        return Failure(kind=INFEASIBLE, message=f"{over}; not trained")
    failure = _unstorable(outcome)
    if outcome.stopped:
        return failure
    judging = (judged_by(name, outcome.metrics) for name in goals.names)
    for name in dict.fromkeys((*goals.names, *goals.limits, *judging)):
        value = outcome.metrics.get(name)
        if failure is None and (value is None or not _is_usable(value)):
            failure = problem(name, value, "at the end")
    return failure


def _is_usable(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _MOST


def given_up(failure: Failure, losses: int) -> Failure:
    """Return the failure of a trial that was lost ``losses`` times, last by ``failure``."""
    times = "once" if losses == 1 else counted(losses, "time")
    return replace(failure, message=f"lost {times}, given up; last: {failure.message}")


def problem(name: str, value: float | None, when: str) -> Failure:
    """Return the failure that the metric ``name`` is missing, or ``value`` is not finite."""
    if value is None:
        return Failure(kind="MissingMetric", message=f"the objective gave no {name} {when}")
    large = ", too large to compare" if math.isfinite(value) else ""
    return Failure(kind="NonFiniteLoss", message=f"{name} is {value} {when}{large}")


def _unstorable(outcome: Outcome) -> Failure | None:
    """Return a failure if an attribute cannot be stored."""
    # Checked here: a database would refuse it only in the middle of a write.
    message = ""
    for name, value in outcome.attributes.items():
        if len(name) > _LONGEST_NAME:
            message = (
                f"attribute {name[:40]!r} … has a name of more than {_LONGEST_NAME} characters"
            )
            break
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            message = f"attribute {name!r} is not a JSON value: {error}"
            break
    return Failure(kind="BadOutcome", message=message) if message else None
