"""A line on a wait for another program, so that it does not look like a program that hangs."""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy

SAID_AFTER: Final = 3.0  # seconds
_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How a statement waits for an SQLite file that another program has locked.

    It first waits for ``SAID_AFTER``; then it says so, and waits for the rest. No clock runs
    beside it, and what is merely slow is not taken for a wait.

    Attributes:
        place: the file, named in the line.
        most: seconds in all.
    """

    place: str
    most: float

    @property
    def first(self) -> int:
        """Milliseconds until it says so."""
        return round(1000 * min(SAID_AFTER, self.most))

    def run(self, connection: sqlite3.Connection, execute: Callable[[], T]) -> T:
        """Return what ``execute`` returns, a statement of ``connection``."""
        try:
            return execute()
        except sqlite3.OperationalError as error:
            rest = round(1000 * self.most) - self.first
            # BUSY alone: what was read is too old to write on it, BUSY_SNAPSHOT, no wait mends.
            locked = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not (locked and rest and _timeout(connection) == self.first):
                raise
        _log.warning(
            "%s: another program has locked it; waiting for it, at most %.0f s in all",
            self.place,
            self.most,
        )
        set_timeout(connection, rest)
        done = execute()
        set_timeout(connection, self.first)
        return done

    def watch(self, engine: sqlalchemy.Engine) -> None:
        """Have all statements of ``engine`` wait like this."""

        def one(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
            self.run(cursor.connection, lambda: cursor.execute(statement, parameters))
            return True

        def many(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
            self.run(cursor.connection, lambda: cursor.executemany(statement, parameters))
            return True

        def bare(cursor: Any, statement: str, _context: Any) -> bool:
            self.run(cursor.connection, lambda: cursor.execute(statement))
            return True

        def connected(connection: Any, _record: Any) -> None:
            # Without a write-ahead log a commit waits as well, in one part.
            if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                set_timeout(connection, self.first)

        sqlalchemy.event.listen(engine, "do_execute", one)
        sqlalchemy.event.listen(engine, "do_executemany", many)
        sqlalchemy.event.listen(engine, "do_execute_no_params", bare)
        sqlalchemy.event.listen(engine, "connect", connected)


def set_timeout(connection: sqlite3.Connection, milliseconds: int) -> None:
    """Set how long a statement of ``connection`` waits for a lock."""
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


def _timeout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA busy_timeout").fetchone()[0])
