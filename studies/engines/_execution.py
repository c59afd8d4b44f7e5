"""Running one task, the same way in every engine: an outcome or a failure, never an exception."""

import traceback
from collections.abc import Callable, Mapping

from objectives.base import Objective, Outcome, StopTraining, Task, TrainingError
from studies.engines.base import Failure

TRACEBACK_LINES = 20
"""Last lines of a traceback that are kept."""


def execute(
    objective: Objective, task: Task, send: Callable[[int, Mapping[str, float]], bool]
) -> Outcome | Failure:
    """Run ``task``.

    Args:
        objective: what to run.
        task: what to run it on.
        send: hands a report over and returns whether the training goes on.
    """
    latest: Mapping[str, float] = {}

    def report(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal latest
        latest = {name: float(value) for name, value in metrics.items()}
        if not send(int(step), latest):
            raise StopTraining

    try:
        outcome = objective(task, report)
    except StopTraining:
        return Outcome(metrics=latest, stopped=True)
    except (Exception, SystemExit) as error:  # the border between the study and what it studies
        return failure_of(error)
    if not isinstance(outcome, Outcome):
        return Failure(kind="BadOutcome", message=f"the objective returned {outcome!r:.80}")
    return outcome


def failure_of(error: BaseException) -> Failure:
    """Return ``error`` as a failure: its kind, first line, and the end of its traceback."""
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    kind = type(error).__name__
    if isinstance(error, TrainingError):
        kind = error.kind
    elif isinstance(error, MemoryError):
        kind = "OutOfMemory"
    message = (str(error).strip().splitlines() or [kind])[0]
    return Failure(kind=kind, message=message, traceback="\n".join(lines[-TRACEBACK_LINES:]))
