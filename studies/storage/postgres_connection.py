"""Connections to PostgreSQL: their options, Optuna's tables, and whether one was lost."""

from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from studies.storage.errors import NoStudies, StorageError
from studies.storage.kinds import parsed
from studies.storage.optuna_tables import COLUMNS
from studies.storage.url import shown

KEY = "hashtextextended(current_schema() || '.studies.' || :name, 0)"
"""SQL: the advisory lock of the study ``:name``."""

# Both sides notice within a minute that the other machine is gone, and its lock with it: a silent
# connection by keepalives, one with unanswered data by the user timeout (in ms; else 15 minutes).
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 4,
    "tcp_user_timeout": 60_000,
}
_OPTIONS = (
    "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=4"
    " -c tcp_user_timeout=60000"
)
ALEMBIC = "alembic_version"  # the table in which every program with Alembic keeps its version

_AWAY = ("57P01", "57P02", "57P03")
"""States: the server shuts down, crashed, or does not accept connections yet."""


def prepare(url: str, *, create: bool) -> None:
    """Make Optuna's tables in an existing database if there are none, and check their version.

    Without ``create`` they are not made.

    Raises:
        StorageError: if there is no such server or database, or it is another program's.
    """
    engine = sqlalchemy.create_engine(url, connect_args=connection_options(url))
    try:
        with engine.connect() as connection:
            # One process at a time: Optuna would make the tables twice.
            connection.execute(text(f"SELECT pg_advisory_lock({KEY})"), {"name": "*"})
            if not check_tables(connection, url) and not create:
                raise NoStudies(f"{shown(url)}: holds no study; run a study first")
            escaped = url.replace("{", "{{").replace("}", "}}")
            made = RDBStorage(escaped, engine_kwargs={"connect_args": connection_options(url)})
            made.remove_session()
            made.engine.dispose()
    finally:
        engine.dispose()


def check_tables(connection: sqlalchemy.Connection, url: str) -> bool:
    """Return whether Optuna's tables are in the database.

    Raises:
        StorageError: if it is another program's.
    """
    tables = set(sqlalchemy.inspect(connection).get_table_names())
    ours = {*COLUMNS, "trial_heartbeats", "version_info"}
    if "version_info" in tables:
        return True
    if tables & ours:
        raise StorageError(
            f"{shown(url)}: holds another program's tables"
            f" ({', '.join(sorted(tables & ours))}); choose another database"
        )
    if ALEMBIC in tables:
        # Optuna would take the other program's version for its own.
        raise StorageError(
            f"{shown(url)}: another program (MLflow?) keeps the version of its tables"
            f" in {ALEMBIC}, as Optuna does with its own; choose another database,"
            " or another schema (?options=-csearch_path%3DNAME)"
        )
    return False


def connection_options(url: str) -> dict[str, Any]:
    """Return the driver's options; the server's options in ``url`` stay, perhaps a schema."""
    given = parsed(url, url).query.get("options", ())
    words = [given] if isinstance(given, str) else list(given)
    return {**_CONNECTION, "options": " ".join([*words, _OPTIONS])}


def is_lost(error: BaseException) -> bool:
    """Return whether ``error`` says that the server cannot be reached."""
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    if not isinstance(cause, DBAPIError):
        return False
    state = getattr(cause.orig, "sqlstate", None)
    if state is None:
        # The driver gives no state if a connection could not be made.
        return cause.connection_invalidated or type(cause.orig).__name__ == "OperationalError"
    return state in _AWAY or state.startswith("08")
