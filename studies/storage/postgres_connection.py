"""Connections to PostgreSQL: their options, Optuna's tables, and how a lost one is told."""

from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from studies.storage.optuna_internals import COLUMNS
from studies.storage.url import NoStudies, StorageError, no_driver, parse, shown

KEY = "hashtextextended(current_schema() || '.studies.' || :name, 0)"
"""SQL: the advisory lock of the study ``:name``."""

# A machine that vanished, and with it its lock, is noticed within a minute by both sides.
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 4,
}
_OPTIONS = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=4"
ALEMBIC = "alembic_version"
"""The table that every program with Alembic keeps its version in."""

_AWAY = ("57P01", "57P02", "57P03")
"""The server shuts down, crashed, or does not accept connections yet."""


def prepare(url: str, *, create: bool) -> None:
    """Make Optuna's tables where there are none, one process at a time, and check their version.

    Args:
        url: of an existing database.
        create: whether they may be made.

    Raises:
        StorageError: no such server or database, none of ours, or made by an incompatible Optuna.
    """
    try:
        engine = sqlalchemy.create_engine(url, connect_args=connection_options(url))
    except ImportError:
        raise no_driver(url) from None
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({KEY})"), {"name": "*"})
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            ours = {*COLUMNS, "trial_heartbeats", "version_info"}
            if "version_info" not in tables:
                if tables & ours:
                    raise StorageError(
                        f"{shown(url)}: holds another program's tables"
                        f" ({', '.join(sorted(tables & ours))}); choose another database"
                    )
                if ALEMBIC in tables:
                    # Optuna would add its tables, and then take the other program's version for
                    # one of its own.
                    raise StorageError(
                        f"{shown(url)}: another program (MLflow?) keeps the version of its tables"
                        f" in {ALEMBIC}, as Optuna does with its own; choose another database,"
                        " or another schema (?options=-csearch_path%3DNAME)"
                    )
                if not create:
                    raise NoStudies(f"{shown(url)}: holds no study; run a study first")
            escaped = url.replace("{", "{{").replace("}", "}}")
            made = RDBStorage(escaped, engine_kwargs={"connect_args": connection_options(url)})
            made.remove_session()
            made.engine.dispose()
    finally:
        engine.dispose()


def connection_options(url: str) -> dict[str, Any]:
    """Return the driver's options; those of the server that ``url`` has, a schema perhaps, stay."""
    given = parse(url).query.get("options", ())
    words = [given] if isinstance(given, str) else list(given)
    return {**_CONNECTION, "options": " ".join([*words, _OPTIONS])}


def is_lost(error: BaseException) -> bool:
    """Return whether ``error`` says that the server, or the way to it, is gone."""
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    if not isinstance(cause, DBAPIError):
        return False
    state = getattr(cause.orig, "sqlstate", None)
    if state is None:
        # Of a connection that could not be made, the driver gives no state.
        return cause.connection_invalidated or type(cause.orig).__name__ == "OperationalError"
    return state in _AWAY or state.startswith("08")
