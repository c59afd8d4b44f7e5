"""A function ``objective(params, *, seed, report)`` as an ``Objective``, for the adapters."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from objectives.base import Objective, Outcome, Report, Task, TrainingError


def as_objective(objective: Any, metric: str) -> Objective:
    """Return ``objective`` itself if it takes a task, or else what calls it with params.

    ``objective`` may leave ``seed`` and ``report`` out, and may return the ``metric`` alone.
    """
    target: Any = objective() if inspect.isclass(objective) else objective
    if next(iter(inspect.signature(target).parameters), "") == "task":
        made: Objective = target
        return made
    return PlainFunction(target, metric)


@dataclass(frozen=True)
class PlainFunction:
    """Calls a function with the params of a task."""

    function: Callable[..., Any]
    metric: str

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Run ``task``; raises what the function raises, and TrainingError for a wrong result."""

        def pass_on(step: int, metrics: Any) -> None:
            report(step, self._metrics(metrics))

        given = {"seed": task.seed, "report": pass_on}
        taken = inspect.signature(self.function).parameters
        every = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
        keywords = given if every else {name: given[name] for name in given if name in taken}
        found = self.function(dict(task.params), **keywords)
        return found if isinstance(found, Outcome) else Outcome(metrics=self._metrics(found))

    def _metrics(self, found: Any) -> dict[str, float]:
        named = found if isinstance(found, Mapping) else {self.metric: found}
        try:
            metrics = {str(name): float(value) for name, value in named.items()}
        except (TypeError, ValueError):
            metrics = {}
        if self.metric not in metrics:
            raise TrainingError(
                "BadOutcome",
                f"the objective must give {{{self.metric!r}: 0.9}} or a number, but gave"
                f" {found!r:.80}",
            )
        return metrics
