"""How often something that costs time is done on the way."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DEAREST = 0.02
"""The greatest share of the time that it may take."""


class Pace:
    """When a training's state is worth its writing.

    Args:
        seconds: between two writings, and before the first; 0: whenever there is a chance.
        clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._next = clock() + seconds

    def due(self) -> bool:
        """Whether to write now."""
        return self._clock() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what is done inside; the next time is so far off that it costs little."""
        began = self._clock()
        yield
        now = self._clock()
        wait = max(self._seconds, (now - began) / DEAREST) if self._seconds else 0.0
        self._next = now + wait
