"""The contract between the trial book, which alone writes the study, and the engines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from objectives.base import Objective, Outcome, Task
from studies.core.trials import NO_LIMITS, Failure, Limits
from studies.planning.ray_settings import RaySettings


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What workers get of this machine.

    Attributes:
        affinity: whether each worker has processors of its own, when all are handed out.
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one a GPU, that workers get in turn; none: workers
            see what this process sees.
        most: maximum number of workers, if they fit into the GPUs' memory; 0: do not grow.
        ray: which cluster, and what a trial claims of it.
        stack: for the engine ``fused``: ``always``, or where it is ``measured`` to be faster.
        say: gets a line for the user while a slow engine starts.
    """

    affinity: bool = True
    gpus: Sequence[str] = ()
    most: int = 0
    ray: RaySettings | None = None
    stack: str = "measured"
    say: Callable[[str], object] = str


ALL = Resources()


class Work(Protocol):
    """What an engine runs. Only the engine's supervising thread calls these methods."""

    def ask(self) -> Task | None:
        """Return the next task, or None if there is none to start at present."""

    def started(self, task: Task, pid: int) -> None:
        """Note that worker process ``pid`` on this host has started ``task``."""

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Take a report; False asks the engine to stop this training.

        It answers at once, from memory: a worker waits for the answer.
        """

    def flush(self, *, now: bool = True) -> float:
        """Write what ``report`` put off; called when no worker waits for an answer.

        Without ``now`` some of it may wait; returns the seconds until that is due, 0: none is left.
        """

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Take the outcome of ``task``, which ran to its end or was stopped as asked."""

    def fail(self, task: Task, failure: Failure) -> None:
        """Take the error of ``task``: its own fault, so it is not tried again."""

    def lose(self, task: Task, failure: Failure) -> None:
        """Take ``task`` back, whose worker died: not its own fault, so it may be tried again."""


class Engine(Protocol):
    """A place where trials run. Workers start with the engine and live until it is closed."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks until ``work`` has no more and none is running, or ``stop`` was called.

        A task over a limit fails: ``TimeLimit`` or ``MemoryLimit``.
        """

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; let running tasks finish, or with ``now`` end them at once.

        Safe to call from a signal handler.
        """
