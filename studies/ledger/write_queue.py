"""Writes that are put off until no worker waits for an answer, and that are not too often."""

import time
from collections.abc import Callable

from studies.storage.open import Storage

_APART = 20.0
"""Writes are at least this many times their own duration apart, so they take 5 % of the time."""
_LONGEST = 1.0
"""Seconds that a write waits at the most; a kill loses no more than the reports of these."""


class WriteQueue:
    """Reports of trials, and other writes that follow from them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._reports: dict[int, dict[int, float]] = {}
        """Values by step, by the identity of their trial."""
        self._others: list[Callable[[], None]] = []
        self._due = 0.0

    def report(self, identity: int, step: int, value: float) -> None:
        """Put off a report."""
        self._reports.setdefault(identity, {})[step] = value

    def add(self, write: Callable[[], None]) -> None:
        """Put off ``write``, after all that was put off before."""
        self._others.append(write)

    def flush(self, *, now: bool) -> float:
        """Write what was put off; return the seconds until the rest is due, 0: all is written.

        Without ``now`` nothing is written too soon after the last writes: a trial that reports at
        each step of an optimizer would wait for the disk each time.
        """
        if not (self._reports or self._others):
            return 0.0
        began = time.monotonic()
        if not now and began < self._due:
            return self._due - began
        self._write()
        ended = time.monotonic()
        self._due = ended + min(_LONGEST, _APART * (ended - began))
        return 0.0

    def _write(self) -> None:
        # The reports first, as pruners' marks and events follow from them. What could not be
        # written is written later, so nothing is removed before.
        while self._reports:
            identity = next(iter(self._reports))
            self._storage.set_trial_intermediate_values(identity, self._reports[identity])
            del self._reports[identity]
        while self._others:
            self._others[0]()
            del self._others[0]
