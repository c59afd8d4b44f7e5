"""A line on a wait for another program, so that it does not look like a program that hangs."""

import logging
import threading
from typing import Any, Final

import sqlalchemy

SAID_AFTER: Final = 3.0  # seconds
_log = logging.getLogger(__name__)


class Waiting:
    """Says once that ``place`` is waited for, unless the wait ends within ``SAID_AFTER``."""

    def __init__(self, place: str, most: float) -> None:
        self._timer = threading.Timer(SAID_AFTER, self._say, (place, most))
        self._timer.daemon = True

    def __enter__(self) -> None:
        """Begin to wait."""
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        """End the wait."""
        self._timer.cancel()

    @staticmethod
    def _say(place: str, most: float) -> None:
        _log.warning(
            "%s: another program has locked it; waiting for it, at most %.0f s in all", place, most
        )


def watch_writes(engine: sqlalchemy.Engine, place: str, most: float) -> None:
    """Say it of each statement of ``engine`` that writes and has to wait; ``most`` in seconds."""

    def begin(_1: Any, _2: Any, statement: str, _4: Any, context: Any, _6: Any) -> None:
        # With a write-ahead log, reading waits for nobody, and a thread a reading would cost time.
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            context.waiting = Waiting(place, most)
            context.waiting.__enter__()

    def end(_1: Any, _2: Any, _3: Any, _4: Any, context: Any, _6: Any) -> None:
        if (waiting := getattr(context, "waiting", None)) is not None:
            waiting.__exit__()

    def fail(context: Any) -> None:
        end(None, None, None, None, context.execution_context, None)

    sqlalchemy.event.listen(engine, "before_cursor_execute", begin)
    sqlalchemy.event.listen(engine, "after_cursor_execute", end)
    sqlalchemy.event.listen(engine, "handle_error", fail)
