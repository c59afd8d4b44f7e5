"""The contract between the book, which alone writes the study, and the engines that run trials.

An engine asks for tasks, runs them somewhere, and hands every report back; it knows neither the
study nor the storage. So any engine leaves the same trail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from objectives.base import Objective, Outcome, Task
from studies.core.trials import NO_LIMITS, Failure, Limits
from studies.planning.ray_settings import RaySettings


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

    def flush(self) -> None:
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
