"""The trackers of one training, each in a thread of its own: the training never waits for one."""

import importlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mnist_core import tracking
from mnist_core.console.redaction import masked
from mnist_core.tracking.base import RunEnd, RunTracker, TrackedRun

FINISH_SECONDS = 60.0
"""The longest time of all trackers after the training's end."""
SAID_AFTER = 3.0
"""Seconds that one is waited for without a word."""

_log = logging.getLogger(__name__)


class Trackers:
    """The trackers of one training. ``say`` gets a line about one that fails, or where it kept it.

    None of the methods raises what a tracker raises, or waits for one, except ``end``.
    """

    def __init__(
        self,
        names: Sequence[str],
        run: TrackedRun | None,
        say: Callable[[str], object],
        *,
        earlier: Iterable[Mapping[str, float]] = (),
    ) -> None:
        """Start them with the reports made before a resume; without a ``run`` there are none."""
        self._say = say
        self._threads: list[_Thread] = []
        if run is not None:
            self._threads = [_Thread(name, run) for name in names]
            for row in earlier:
                self.report(row, run.began + row["seconds"])

    def report(self, row: Mapping[str, float], when: float | None = None) -> None:
        """Pass on a report, see ``RunTracker.report``; it was made ``when``, or now."""
        for thread in self._threads:
            thread.put("report", dict(row), time.time() if when is None else when)
            self._tell(thread)

    def end(self, how: RunEnd) -> None:
        """Pass on how the training ended, and wait until everything is kept."""
        for thread in self._threads:
            thread.put("end", how)
        until = time.monotonic() + FINISH_SECONDS
        for thread in self._threads:
            thread.join(min(SAID_AFTER, FINISH_SECONDS))
            if thread.is_alive():
                left = max(0.0, until - time.monotonic())
                self._say(f"waiting for {thread.name} to keep the run, at most {left:.0f} s")
                thread.join(left)
            self._tell(thread)
            if thread.is_alive():
                self._say(f"{thread.name}: not done within {FINISH_SECONDS:g} s; given up")
            elif thread.last:
                self._say(f"{thread.name}: {thread.last}")
        self._threads = []

    def _tell(self, thread: "_Thread") -> None:
        if thread.problem:
            self._say(f"{thread.name}: {thread.problem}; the training continues without it")
            thread.problem = ""


class _Thread(threading.Thread):
    """One tracker; ``problem`` is a line about what it raised, ``last`` its last line."""

    def __init__(self, name: str, run: TrackedRun) -> None:
        # A daemon, so that one that hangs does not keep the process.
        super().__init__(name=name, daemon=True)
        self.problem, self.last = "", ""
        self._tracked = run
        self._calls: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
        self.start()

    def put(self, method: str, *arguments: Any) -> None:
        """Have ``method`` of the tracker called; ``end`` is the last one."""
        self._calls.put((method, arguments))

    def run(self) -> None:
        """Make the tracker, and call it until it has ended, or raises."""
        method = "start"
        try:
            made = importlib.import_module(tracking.module(self.name))
            tracker: RunTracker = made.create(self._tracked)
            while method != "end":
                method, arguments = self._calls.get()
                said = getattr(tracker, method)(*arguments)
            self.last = str(said or "")
        except Exception as error:  # whatever a tracker does, the training must not suffer
            _log.debug("%s at %s", self.name, method, exc_info=True)
            reason = " ".join(masked(str(error)).split()) or "no reason given"
            self.problem = f"failed at the {method}: {type(error).__name__}: {reason[:200]}"
