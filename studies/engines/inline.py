"""The inline engine: one trial after the other in this very process, for debugging and notebooks.

It leaves the same trail as the others. A breakpoint in the objective works; a crash of the
objective takes the study with it (the next run goes on from there).
"""

import os
from collections.abc import Mapping, Sequence
from typing import Self

from objectives.base import Objective, Outcome
from studies.engines._execution import execute
from studies.engines.base import Failure, Work


def create(*, workers: int, threads: int, preload: Sequence[str] = ()) -> "Inline":
    """Return the engine; its one worker is this process: threads and modules are left alone."""
    return Inline()


class _StoppedNow(BaseException):
    """Unwinds the objective after ``stop(now=True)``; no ``except Exception`` holds it up."""


class Inline:
    """Runs trials in the calling thread."""

    def __init__(self) -> None:
        self._stopping = False
        self._now = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def run(self, work: Work, objective: Objective) -> None:
        """Run tasks until there is none, or ``stop`` was asked for."""
        while not self._stopping and (task := work.ask()) is not None:
            work.started(task, os.getpid())

            def send(step: int, metrics: Mapping[str, float]) -> bool:
                if self._now:
                    raise _StoppedNow
                goes_on = work.report(task, step, metrics)
                work.settle()
                return goes_on

            try:
                result = execute(objective, task, send)
            except _StoppedNow:
                work.lose(task, Failure(kind="Interrupted", message="the run was stopped"))
                return
            if isinstance(result, Outcome):
                work.finish(task, result)
            else:
                work.fail(task, result)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trial, at its next report."""
        self._stopping = True
        self._now = self._now or now
