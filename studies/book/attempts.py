"""What a book knows of its running trials beside what is written: begun when, last said what."""

import time
from collections.abc import Mapping

from studies.engines.base import Failure


class Attempts:
    """The attempts that run now, by the number of their trial.

    Attributes:
        latest: the last metrics that each reported.
        failures: why one that goes on for a moment has failed already.
    """

    def __init__(self) -> None:
        self.latest: dict[int, Mapping[str, float]] = {}
        self.failures: dict[int, Failure] = {}
        self._began: dict[int, float] = {}

    def begin(self, number: int) -> None:
        """Note that an attempt of trial ``number`` begins now."""
        self._began[number] = time.monotonic()

    def seconds(self, number: int) -> float | None:
        """Return for how long the attempt of trial ``number`` has run, None if it never began."""
        began = self._began.get(number)
        return None if began is None else time.monotonic() - began

    def end(self, number: int) -> None:
        """Forget the attempt of trial ``number``."""
        self.latest.pop(number, None)
        self.failures.pop(number, None)
        self._began.pop(number, None)
