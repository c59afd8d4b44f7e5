"""A line on a wait for another program, so that it does not look like a program that hangs."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy

SAID_AFTER: Final = 3.0  # seconds
_log = logging.getLogger(__name__)


class Waiting:
    """Says once that ``place`` is waited for, unless the wait ends within ``SAID_AFTER``."""

    def __init__(self, place: str, most: float) -> None:
        self._timer = threading.Timer(SAID_AFTER, _say, (place, most))
        self._timer.daemon = True

    def __enter__(self) -> None:
        """Begin to wait."""
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        """End the wait."""
        self._timer.cancel()


def say_waits(engine: sqlalchemy.Engine, place: str, most: float) -> None:
    """Say it when a statement of an SQLite ``engine`` waits for a lock; ``most`` in seconds."""
    # A statement first waits for ``SAID_AFTER``, then, said, for the rest. No clock runs beside it.
    first = round(1000 * min(SAID_AFTER, most))
    rest = round(1000 * most) - first

    def patiently(cursor: sqlite3.Cursor, execute: Callable[[], object]) -> bool:
        try:
            execute()
        except sqlite3.OperationalError as error:
            # BUSY alone: what was read is too old to write on it, BUSY_SNAPSHOT, no wait mends.
            locked = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not (locked and rest and _timeout(cursor.connection) == first):
                raise
            _say(place, most)
            set_timeout(cursor.connection, rest)
            execute()
            set_timeout(cursor.connection, first)
        return True

    def one(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
        return patiently(cursor, lambda: cursor.execute(statement, parameters))

    def many(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
        return patiently(cursor, lambda: cursor.executemany(statement, parameters))

    def bare(cursor: Any, statement: str, _context: Any) -> bool:
        return patiently(cursor, lambda: cursor.execute(statement))

    def connected(connection: Any, _record: Any) -> None:
        # Without a write-ahead log a commit waits as well, in one part.
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            set_timeout(connection, first)

    sqlalchemy.event.listen(engine, "do_execute", one)
    sqlalchemy.event.listen(engine, "do_executemany", many)
    sqlalchemy.event.listen(engine, "do_execute_no_params", bare)
    sqlalchemy.event.listen(engine, "connect", connected)


def set_timeout(connection: sqlite3.Connection, milliseconds: int) -> None:
    """Set how long a statement of ``connection`` waits for a lock."""
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


def _timeout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA busy_timeout").fetchone()[0])


def _say(place: str, most: float) -> None:
    _log.warning(
        "%s: another program has locked it; waiting for it, at most %.0f s in all", place, most
    )
