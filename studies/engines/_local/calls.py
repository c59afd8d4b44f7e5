"""Calls of plain functions where trials run: the data is there, and torch is imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnist_core.errors import UserError
from objectives.base import Outcome, Report, Task
from studies.core.trials import Failure
from studies.engines.base import Engine

_RESULT, _REFUSED = "result", "refused"
_LOSSES = 2
"""Maximum number of repetitions of a call whose worker died."""


def call(
    engine: Engine, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """Return ``[function(*each) for each in arguments]``, run by the workers of ``engine``.

    Raises:
        UserError: if a call raised it, the engine was stopped, or workers died under a call.
        RuntimeError: if a call raised something else.
    """
    calls = Calls(arguments)
    engine.run(calls, _Called(function))
    if len(calls.results) < len(arguments):
        raise UserError("the engine was stopped")
    return [calls.results[number] for number in range(len(arguments))]


@dataclass(frozen=True)
class _Called:
    function: Callable[..., Any]

    def __call__(self, task: Task, report: Report) -> Outcome:
        try:
            result = self.function(*task.params["arguments"])
        except UserError as error:
            return Outcome(metrics={}, attributes={_REFUSED: error})
        return Outcome(metrics={}, attributes={_RESULT: result})


class Calls:
    """Calls as an engine's work; ``results`` by the number of the call."""

    def __init__(self, arguments: Sequence[tuple[Any, ...]]) -> None:
        self.results: dict[int, Any] = {}
        self._losses: dict[int, int] = {}
        self._left = [
            Task(number=number, params={"arguments": each}, seed=0)
            for number, each in enumerate(arguments)
        ]

    def ask(self) -> Task | None:
        return self._left.pop(0) if self._left else None

    def started(self, task: Task, pid: int) -> None:
        pass

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        return True

    def flush(self, *, now: bool = True) -> float:
        return 0.0

    def finish(self, task: Task, outcome: Outcome) -> None:
        if _REFUSED in outcome.attributes:
            raise outcome.attributes[_REFUSED]
        self.results[task.number] = outcome.attributes[_RESULT]

    def fail(self, task: Task, failure: Failure) -> None:
        if failure.kind == "OutOfMemory":
            raise UserError(
                f"memory ran out: {failure.message}; free memory, or make batch_size or the model"
                " smaller"
            )
        raise RuntimeError(f"{failure.text}\n{failure.traceback}")

    def lose(self, task: Task, failure: Failure) -> None:
        losses = self._losses[task.number] = self._losses.get(task.number, 0) + 1
        # A call that ends its worker each time would be repeated for ever.
        if failure.kind == "Interrupted" or losses > _LOSSES:
            raise UserError(failure.message)
        self._left.insert(0, task)
