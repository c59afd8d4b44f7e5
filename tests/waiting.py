"""Waiting for what must happen: as long as it takes, also on a machine that is slow or busy.

No test measures how long something takes; the time below is reached by defects only.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

PATIENCE = 600.0
"""Seconds; longer than anything here takes on the slowest machine, shorter than pytest's limit."""

T = TypeVar("T")


def until(
    condition: Callable[[], T],
    *,
    alive: Callable[[], object] = lambda: True,
    seconds: float = PATIENCE,
) -> T:
    """Ask until the answer is true, and return it; ``alive``: false where it cannot come any more.

    Raises:
        AssertionError: it did not happen.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert alive(), "it cannot happen any more"
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return answer


@contextmanager
def patient_ray() -> Iterator[None]:
    """Ray gives a node 30 s to start, whatever else the machine does; here it has longer."""
    import pytest
    from ray._private import services

    look = services.get_node

    def get_node(*arguments: str) -> object:
        def started() -> object:
            try:
                return look(*arguments)
            except RuntimeError:  # not yet
                return None

        return until(started)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "get_node", get_node)
        yield
