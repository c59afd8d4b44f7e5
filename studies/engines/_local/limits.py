"""Limits of a trial's time and memory, measured from outside of it."""

import time
from collections.abc import Sequence
from dataclasses import replace

import psutil

from studies.core.trials import Failure, Limits

POLL = 0.2
"""Seconds between two checks of the workers' memory."""

_GIB = 1024**3


def over(limits: Limits, pid: int, seconds: float, step: int) -> Failure | None:
    """Return why to end the trial in process ``pid``, whose last report is ``step``, or None."""
    where = f"after report {step}" if step else "before its first report"
    if 0 < limits.seconds <= seconds:
        return Failure(
            kind="TimeLimit",
            message=f"ended after {seconds:.1f} s {where}; the limit is {limits.seconds:g} s"
            " (engine.trial_seconds)",
        )
    if limits.memory and (used := memory(pid)) > limits.memory:
        return Failure(
            kind="MemoryLimit",
            message=f"ended with {used / _GIB:.2f} GiB in use {where}; the limit is"
            f" {limits.memory / _GIB:.2f} GiB (engine.trial_memory_gib)",
        )
    return None


class Watch:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next = 0.0

    def wait(self, began: Sequence[float]) -> float | None:
        """Return the seconds until the next check of trials that ``began`` then; None: never."""
        if not began:
            return None
        now, at = time.monotonic(), []
        if self._limits.memory:
            at.append(self._next)
        if self._limits.seconds:
            at.append(min(began) + self._limits.seconds)
        return max(0.0, min(at) - now) if at else None

    def look(self, trials: Sequence[tuple[int, float, int]]) -> list[Failure | None]:
        """Return for each trial (pid, start, last step) why to end it, or None."""
        now, limits = time.monotonic(), self._limits
        if limits.memory and now < self._next:
            limits = replace(limits, memory=0)
        elif limits.memory:
            self._next = now + POLL
        if not (limits.memory or limits.seconds):
            return [None] * len(trials)
        return [over(limits, pid, now - began, step) for pid, began, step in trials]


def memory(pid: int) -> int:
    """Return the resident set of process ``pid`` and of all that it started, in bytes."""
    # Shared pages count for each process. A process that has just ended counts 0.
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(map(_resident, family))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
