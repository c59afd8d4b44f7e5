"""The inline engine: one trial after the other in this process, for debugging and notebooks.

A breakpoint in the objective works. A crash of the objective ends the program; the next run
resumes the study.
"""

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from objectives.base import Objective, Outcome
from studies.core.trials import INTERRUPTED, NO_LIMITS, UNFIT, Failure, Limits
from studies.engines._local import limits as _limits
from studies.engines._local.execution import Unwound, execute
from studies.engines._local.worker_start import unfit_error
from studies.engines.base import ALL, Resources, Work

if TYPE_CHECKING:
    from studies.planning.plan import Plan


def create(
    *, workers: int, threads: int, preload: Sequence[str] = (), resources: Resources = ALL
) -> "Inline":
    """Return the engine; its one worker is this process."""
    return Inline()


class _StoppedNow(Unwound):
    """Unwinds the objective after ``stop(now=True)``, past any ``except Exception``."""


class _OverLimit(Unwound):
    """Unwinds an objective that is over a limit."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class Inline:
    """Runs trials in the calling thread."""

    def __init__(self) -> None:
        self._stopping = False
        self._now = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def adapt(self, plan: "Plan") -> "Plan":
        """Return ``plan`` with one trial at a time."""
        return dataclasses.replace(plan, workers=1, most_workers=0)

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks; limits are checked at each report only.

        Raises:
            UserError: if this process cannot use its device.
        """
        while not self._stopping and (task := work.ask()) is not None:
            work.started(task, os.getpid())
            began = time.monotonic()

            def send(step: int, metrics: Mapping[str, float], began: float = began) -> bool:
                if self._now:
                    raise _StoppedNow
                if limits != NO_LIMITS:
                    seconds = time.monotonic() - began
                    if (over := _limits.over(limits, os.getpid(), seconds, step)) is not None:
                        raise _OverLimit(over)
                # The same order as in the other engines, so the trail is the same, too.
                continues = work.report(task, step, metrics)
                work.flush(now=False)
                return continues

            try:
                result = execute(objective, task, send)
            except _StoppedNow:
                work.lose(task, INTERRUPTED)
                return
            except _OverLimit as over:
                work.fail(task, over.failure)
                continue
            if isinstance(result, Outcome):
                work.finish(task, result)
            elif result.kind in UNFIT:
                work.lose(task, result)
                raise unfit_error(result, 1)
            else:
                work.fail(task, result)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trial, at its next report."""
        self._stopping = True
        self._now = self._now or now
