"""The contract between the book, which alone writes the study, and the engines that run trials.

An engine asks for tasks, runs them somewhere, and hands every report back; it knows neither the
study nor the storage. So any engine leaves the same trail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from mnist_core.plain_text import one_line, safe_lines
from objectives.base import Objective, Outcome, Task
from studies.planning.ray_settings import RaySettings

BEFORE_TRAINING = "WorkerUnfit"
"""Kind of failure: the worker could not begin, so it costs the trial none of its retries."""
GPU_FAILURE = "GpuFailure"
"""Kind of failure: the GPU failed in mid-training, by the trial's doing or not."""
UNFIT = frozenset({BEFORE_TRAINING, GPU_FAILURE})
"""Kinds after which a worker process is of no more use; the trial is lost with it."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial has no result.

    Attributes:
        kind: a short stable name: ``NonFiniteLoss``, ``OutOfMemory``, ``TimeLimit``,
            ``MemoryLimit``, ``WorkerLost``, ``Interrupted``, one of ``UNFIT`` or the exception's
            class name.
        message: one line.
        traceback: the last lines of the traceback, or "".
    """

    kind: str
    message: str
    traceback: str = ""

    def __post_init__(self) -> None:
        """Make the text, which is anybody's, safe to show: it is printed in many places."""
        object.__setattr__(self, "kind", one_line(str(self.kind)))
        object.__setattr__(self, "message", one_line(str(self.message)))
        object.__setattr__(self, "traceback", safe_lines(str(self.traceback)))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one trial may take; over it, it is ended as FAIL.

    Attributes:
        seconds: wall time of one attempt, from its begin in the worker; 0: no limit.
        memory: bytes of main memory (resident set) of the worker and all processes that it
            started; pages that they share count for each. 0: no limit.
    """

    seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What of this machine workers get.

    Attributes:
        affinity: whether each worker is bound to processors of its own, when all are handed out.
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one a GPU, that workers get in turn; none: workers
            see what this process sees.
        most: grow to so many workers once a trial has shown how many fit into the GPUs' memory;
            0: the number stays as it is.
        ray: of the engine ``ray``: which cluster, and what a trial claims of it.
        say: gets a line for the user while an engine starts that takes a while.
    """

    affinity: bool = True
    gpus: Sequence[str] = ()
    most: int = 0
    ray: RaySettings | None = None
    say: Callable[[str], object] = str


NO_LIMITS = Limits()
ALL = Resources()


class Work(Protocol):
    """What an engine works off. Every method is called from the engine's one supervising thread."""

    def ask(self) -> Task | None:
        """Return the next task, or None when there is none to start (now or any more)."""
        ...

    def started(self, task: Task, pid: int) -> None:
        """A worker process ``pid`` on this host has begun ``task``."""
        ...

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Take an intermediate report; False asks the engine to stop this training.

        It answers at once, from memory: a worker waits for the answer.
        """
        ...

    def settle(self) -> None:
        """Write what ``report`` put off; call it when no worker waits for an answer."""
        ...

    def finish(self, task: Task, outcome: Outcome) -> None:
        """``task`` ran to its end, or was stopped as asked (``outcome.stopped``)."""
        ...

    def fail(self, task: Task, failure: Failure) -> None:
        """``task`` raised an error: its own fault, not tried again."""
        ...

    def lose(self, task: Task, failure: Failure) -> None:
        """The worker died under ``task``: not the task's fault; it may be asked for again."""
        ...


class Engine(Protocol):
    """A place where trials run. Workers start with the engine and live until it is closed."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks until ``work.ask()`` gives none and none is running, or ``stop`` was asked.

        A task over a limit fails: ``TimeLimit`` or ``MemoryLimit``.
        """
        ...

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; let running tasks finish, or with ``now`` end them at once.

        Safe to call from a signal handler.
        """
        ...
