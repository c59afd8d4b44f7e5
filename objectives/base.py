"""What an objective is: a task in, reports on the way, an outcome at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

CHANGES = "changes"
"""Key among a task's params of the settings that change while it is trained (``changes``)."""


class StopTraining(Exception):
    """Raised by ``report``: the training is to end here. An objective may let it pass."""


class TrainingError(Exception):
    """A training cannot be finished, for a reason that has a name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind  # a short stable name, e.g. ``NonFiniteLoss`` or ``OutOfMemory``.
        self.message = message


class WorkerUnfit(Exception):
    """This process cannot begin a training: its device or memory is taken, or gone.

    No task is to blame. The engine ends the process and runs the task again in another one.
    """


Report = Callable[[int, Mapping[str, float]], None]
"""``report(step, metrics)``, steps from 1; it raises ``StopTraining`` to end the training."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One trial to run."""

    number: int  # the trial's number in its study, from 0
    # hyperparameters by name; only the active ones of a conditional space
    params: Mapping[str, Any]
    seed: int  # the trial's own seed, 0 <= seed < 2**63
    # 0 at first; counts how often the trial was lost with its worker and restarted
    attempt: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a trial without an error."""

    metrics: Mapping[str, float]  # final metrics by name, among them the study's metric
    # True if ``report`` ended the training before its full budget was used up
    stopped: bool = False
    # JSON values worth keeping with the trial (seconds, device, confusion matrix …)
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Objective(Protocol):
    """Runs one task in a worker process; picklable, and loads its data once a process."""

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Run ``task``; raise TrainingError, or WorkerUnfit if this process cannot begin it."""
        ...


def is_share(metric: str) -> bool:
    """Whether a metric is a fraction in [0, 1], which is written in per cent."""
    return metric.endswith(("accuracy", "f1", "auc"))
