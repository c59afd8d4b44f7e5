"""Running one task, the same way in every engine: an outcome or a failure, never an exception."""

import operator
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from mnist_core.device import device_errors
from mnist_core.errors import is_ctrl_c
from objectives.base import Objective, Outcome, StopTraining, Task, TrainingError, WorkerUnfit
from studies.core.trials import BEFORE_TRAINING, GPU_FAILURE, Failure

TRACEBACK_LINES = 20
"""Number of last lines of a traceback that are kept."""

_LONGEST = 1000
"""Maximum number of characters of a message."""

_MOST_STEPS = 2**31 - 1
"""The highest step that every database can hold."""


class Unwound(BaseException):
    """Raised by an engine through an objective whose trial is to end now; it is not a failure."""


def execute(
    objective: Objective, task: Task, send: Callable[[int, Mapping[str, float]], bool]
) -> Outcome | Failure:
    """Run ``task``; ``send`` hands a report over and returns whether the training continues.

    Whatever the objective raises is a failure, but for the user's Ctrl-C (KeyboardInterrupt) and
    ``Unwound``, which pass.
    """
    process = os.getpid()
    # Paths of the next trial may be relative to the working directory.
    with _back_here():
        result = _execute(objective, task, send, process)
    if os.getpid() != process:
        os._exit(1)  # otherwise the trial would end twice
    return result


@contextmanager
def _back_here() -> Iterator[None]:
    here = None
    with suppress(OSError):
        here = os.getcwd()
    try:
        yield
    finally:
        if here is not None:
            with suppress(OSError):
                os.chdir(here)


def _execute(
    objective: Objective,
    task: Task,
    send: Callable[[int, Mapping[str, float]], bool],
    process: int,
) -> Outcome | Failure:
    latest: Mapping[str, float] = {}

    def report(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal latest
        if os.getpid() != process:
            raise RuntimeError("a process that the objective forked cannot report")
        number = _step(step)
        latest = _numbers(metrics)
        if not send(number, latest):
            raise StopTraining

    try:
        outcome = objective(task, report)
    except StopTraining:
        return Outcome(metrics=latest, stopped=True)
    except Unwound:
        raise
    except BaseException as error:  # an objective may raise anything, also SystemExit
        if is_ctrl_c(error):
            raise
        return failure_of(error)
    if not isinstance(outcome, Outcome):
        return Failure(kind="BadOutcome", message=f"the objective returned {outcome!r:.80}")
    try:
        return replace(outcome, metrics=_numbers(outcome.metrics), attributes=_named(outcome))
    except Exception as error:  # whatever its values raise when they are converted
        return replace(failure_of(error), kind="BadOutcome")


def _step(step: Any) -> int:
    number = -1
    with suppress(TypeError):
        number = operator.index(step)  # unlike ``int`` it takes no 1.5 and no "1"
    if not 0 <= number <= _MOST_STEPS:
        raise TrainingError(
            "BadReport",
            f"report: step must be a whole number from 1 to {_MOST_STEPS}, but got {step!r:.80}",
        )
    return number


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return plain numbers, as databases store them; TypeError: if one is not a number."""
    numbers = {}
    for name, value in metrics.items():
        try:
            numbers[str(name)] = float(value)
        except Exception as error:  # also what a tensor raises
            raise TypeError(f"metric {name} is {value!r:.80}: {error}") from None
    return numbers


def _named(outcome: Outcome) -> dict[str, Any]:
    return {str(name): value for name, value in outcome.attributes.items()}


def failure_of(error: BaseException) -> Failure:
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    kind = type(error).__name__
    if isinstance(error, TrainingError):
        kind = error.kind
    elif isinstance(error, WorkerUnfit):
        kind = BEFORE_TRAINING
    elif device_errors.is_out_of_memory(error):
        kind = "OutOfMemory"
    elif device_errors.is_gpu_failure(error):
        kind = GPU_FAILURE
    try:
        # One line: it stands in tables, and the traceback has the rest.
        message = _message(error)
    except Exception:  # the exception's own code may fail
        message = type(error).__name__
    return Failure(
        kind=kind, message=message[:_LONGEST], traceback="\n".join(lines[-TRACEBACK_LINES:])
    )


def _message(error: BaseException) -> str:
    # Of these a traceback says no more than its last line of code.
    if isinstance(error, SystemExit):
        is_text = isinstance(error.code, str) and error.code
        said = error.code if is_text else f"exit code {error.code or 0}"
        return f"{said}, asked for {_place(error)}"
    if isinstance(error, KeyboardInterrupt):
        return f"raised {_place(error)}"
    return device_errors.first_line(error)


def _place(error: BaseException) -> str:
    """Return the line of the user's code that raised ``error``, or had it raised."""
    # W&B, once imported, puts a function of its own in the place of sys.exit.
    installed = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(installed)]
    frame = (own or frames)[-1]
    return f"in {os.path.basename(frame.filename)}, line {frame.lineno}"
