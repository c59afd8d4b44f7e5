"""Checks of the storage: a study can be written, and nothing is left behind by trying."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from mnist_core.errors import UserError
from mnist_core.files import check_regular, from_here
from studies.cli.doctor.finding import Finding, ok, problem
from studies.storage.errors import StorageError, reason
from studies.storage.url import absolute_url, check_url, shown, storage_file

CONNECT_SECONDS = 3
_MAGIC = {"sqlite": b"SQLite format 3\0", "journal": b'{"op_code"'}


def storage_finding(url: str, results: Path) -> Finding:
    """Return whether the storage of the setting ``storage.url`` can be written."""
    try:
        if not url:
            return _file(results / "study.db", "sqlite", "an SQLite file in each study's folder")
        url = absolute_url(url)
        check_url(url)
        path = storage_file(url)
        if path is None:
            return _server(url)
        return _file(path, url.partition(":")[0].partition("+")[0], shown(url))
    except (UserError, OSError) as error:
        return problem("storage", str(error), "correct storage.url in conf.toml", stops=True)


def _file(path: Path, kind: str, what: str) -> Finding:
    """Write a database or file beside ``path``, and remove it; look at ``path`` if it is there."""
    folder = next(one for one in path.parents if one.exists())
    remedy = "set storage.url to a file on another disk"
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
            _write(Path(place), kind)
        if path.exists():
            _check_there(path, kind)
    except (OSError, sqlite3.Error) as error:
        text = f"{what}: cannot be written in {from_here(folder)}: {error}"
        return problem("storage", text, remedy, stops=True)
    return ok("storage", f"{what}: can be written")


def _write(folder: Path, kind: str) -> None:
    """Write and lock as a study does; a network's file system may not be able to."""
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(folder / "study.db", timeout=1)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            with database:
                database.execute("CREATE TABLE tried (number INTEGER)")
                database.execute("INSERT INTO tried VALUES (1)")
        return
    with (folder / "journal").open("ab") as file:
        file.write(b"{}\n")
        file.flush()
        os.fsync(file.fileno())
        if os.name == "posix":
            import fcntl  # only on POSIX

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _check_there(path: Path, kind: str) -> None:
    check_regular(path)
    if not os.access(path, os.W_OK):
        raise StorageError(f"{from_here(path)}: is there, and may not be written")
    wanted = _MAGIC[kind]
    with path.open("rb") as file:
        start = file.read(len(wanted))
    if start and start != wanted:
        raise StorageError(f"{from_here(path)}: is there, and is not of {kind}; name another file")


def _server(url: str) -> Finding:
    """Make a table on the server, and take it back."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    from studies.storage.postgres_connection import check_tables, connection_options

    options = {**connection_options(url), "connect_timeout": CONNECT_SECONDS}
    engine = sqlalchemy.create_engine(url, connect_args=options)
    try:
        with engine.connect() as connection:  # closed without a commit
            check_tables(connection, url)
            connection.execute(sqlalchemy.text("CREATE TABLE studies_doctor_tried (number int)"))
            connection.rollback()
    except SQLAlchemyError as error:
        text = f"{shown(url)}: {reason(error)}"
        remedy = "start the server, or correct storage.url (user, password, database, rights)"
        return problem("storage", text, remedy, stops=True)
    finally:
        engine.dispose()
    return ok("storage", f"{shown(url)}: a table could be made there, and was taken back")
