"""What a book says of its trials: one event for each thing that happens, see ``events.py``."""

from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from objectives.base import Outcome, Task
from studies.engines.base import Failure
from studies.trail.events import Stream


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
