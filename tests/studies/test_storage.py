"""Storage: SQLite set up well, and one line for everything that is wrong."""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import programs
import pytest
import sqlalchemy
from needs import missing
from waiting import PATIENCE

from studies.storage import sqlite
from studies.storage.errors import NoStudies
from studies.storage.open import (
    Damaged,
    StorageError,
    close_storage,
    journal_url,
    one_line_errors,
    open_storage,
    shown,
    sqlite_url,
    storage_file,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "study.db"


def opened(path, **options):
    return open_storage(sqlite_url(path), **{"create": True, **options})


def refusal(url, *, create=True):
    with pytest.raises(StorageError) as caught:
        open_storage(url, create=create)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def unflushed():
    """In place of that which all tests share: here the real pragmas are looked at."""


@pytest.fixture
def ready_made_databases():
    """In place of that which all tests share: here databases are made and looked at."""


def test_every_connection_has_the_pragmas(path):
    def pragma(connection, name):
        return connection.execute(sqlalchemy.text(f"PRAGMA {name}")).scalar()

    storage = opened(path)
    with storage.engine.connect() as one, storage.engine.connect() as two:
        for connection in (one, two):
            assert pragma(connection, "journal_mode") == "wal"
            assert pragma(connection, "synchronous") == 1
            assert pragma(connection, "busy_timeout") == 3_000  # and said, up to 60 s
    close_storage(storage)


def test_closing_leaves_one_file(path):
    storage = opened(path)
    optuna.create_study(study_name="s", storage=storage)
    close_storage(storage)
    assert [entry.name for entry in path.parent.iterdir()] == ["study.db"]
    again = opened(path, create=False)
    assert [study.study_name for study in again.get_all_studies()] == ["s"]
    close_storage(again)


@pytest.fixture
def unwritable(path):
    """A finished database on a file system that is mounted read-only, as an archive is."""
    storage = opened(path)
    study = optuna.create_study(study_name="s", storage=storage)
    study.tell(study.ask(), 1.0)
    close_storage(storage)
    mounts = (["--bind", path.parent, path.parent], ["-o", "remount,bind,ro", path.parent])
    for arguments in mounts:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            subprocess.run(["umount", path.parent], capture_output=True)
            missing(f"nothing can be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path.parent], check=True)


def test_what_cannot_be_written_can_be_read(unwritable):
    storage = opened(unwritable, create=False)
    (trial,) = optuna.load_study(study_name="s", storage=storage).trials
    assert trial.value == 1.0
    with pytest.raises(StorageError, match="readonly"), one_line_errors(storage.url):
        optuna.create_study(study_name="t", storage=storage)
    close_storage(storage)
    assert str(unwritable) in refusal(sqlite_url(unwritable))
    assert [entry.name for entry in unwritable.parent.iterdir()] == ["study.db"]


def test_a_journal_that_cannot_be_written_can_be_read(unwritable, tmp_path):
    journal = unwritable.parent / "log"
    subprocess.run(["mount", "-o", "remount,bind,rw", unwritable.parent], check=True)
    optuna.create_study(study_name="j", storage=open_storage(journal_url(journal), create=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", unwritable.parent], check=True)
    storage = open_storage(journal_url(journal), create=False)
    assert optuna.get_all_study_names(storage) == ["j"]


@pytest.mark.parametrize("create", [True, False])
def test_the_log_of_a_database_that_is_gone_is_not_written_into_another(path, create):
    """A killed process leaves one; SQLite takes the log for that of whatever is in its place."""
    close_storage(opened(path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO studies (study_name) VALUES ('lost')")
        connection.commit()
        log = path.with_name("study.db-wal").read_bytes()
    path.unlink()
    path.with_name("study.db-wal").write_bytes(log)
    assert "study.db-wal" in refusal(sqlite_url(path), create=create)
    assert not path.exists() and path.with_name("study.db-wal").read_bytes() == log


@pytest.mark.parametrize("make", [sqlite_url, journal_url])
@pytest.mark.parametrize("create", [True, False])
def test_a_pipe_is_not_waited_for(tmp_path, make, create):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refusal(make(tmp_path / "pipe"), create=create)


def test_what_locks_a_database_is_not_taken_for_damage(path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.01)
    close_storage(opened(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    for create in (True, False):
        with pytest.raises(StorageError, match="locked") as caught:
            opened(path, create=create)
        assert not isinstance(caught.value, Damaged)
    other.close()


def test_a_missing_database_is_not_made_by_reading(path):
    with pytest.raises(NoStudies, match=re.escape(str(path))):
        opened(path, create=False)
    assert not path.parent.exists()


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database_is_left_alone(tmp_path, create):
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes")
    with pytest.raises(Damaged, match=re.escape(str(file))):
        opened(file, create=create)
    assert file.read_text() == "these are my notes"


def test_another_programs_database_is_left_alone(tmp_path):
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    assert "songs" in refusal(sqlite_url(file))
    assert file.read_bytes() == before


def test_a_damaged_database(path):
    close_storage(opened(path))
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    assert str(path) in refusal(sqlite_url(path))


def test_a_database_with_a_damaged_page(path):
    """Its first pages are sound: SQLite itself would say nothing before it comes to that one."""
    close_storage(opened(path))
    content, page = path.read_bytes(), 4096
    last = len(content) // page - 1
    path.write_bytes(content[: last * page] + b"\xff" * page)
    with pytest.raises(Damaged, match=re.escape(str(path))):
        opened(path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    message = refusal(sqlite_url(tmp_path / "file" / "folder" / "study.db"))
    assert str(tmp_path / "file" / "folder") in message


def test_a_folder_in_the_place_of_the_file(tmp_path):
    assert str(tmp_path) in refusal(sqlite_url(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_folder_that_cannot_be_written():
    # Not even root can make a file in there.
    assert "/proc" in refusal("sqlite:////proc/study.db")


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("results/study.db", "sqlite:///"),
        ("nosuch://x", "sqlite:///"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", ":memory:"),
        ("mysql+pymysql://me@host/x", "mysql+pymysql"),
        ("postgresql://me@host/x", r"postgresql+psycopg://USER@HOST"),
    ],
)
def test_urls_that_are_none(url, part):
    assert part in refusal(url)


def test_a_database_made_by_a_newer_optuna(path):
    close_storage(opened(path))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE version_info SET schema_version = 99")
    connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.commit()
    connection.close()
    assert str(path) in refusal(sqlite_url(path))


def test_three_processes_make_one_database_at_once(path):
    def make():
        close_storage(open_storage(sqlite_url(path), create=True))

    processes = [programs.start(make) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors


def test_a_password_is_never_shown():
    url = "postgresql+psycopg://me:s3cret@localhost:1/x"
    assert shown(url) == "postgresql+psycopg://me:***@localhost:1/x"
    assert shown("sqlite:///a/b.db") == "a/b.db"
    assert shown("journal:///a/b.log") == "journal:///a/b.log"


def test_the_file_of_a_url():
    assert storage_file("sqlite:///a/b.db") == Path("a/b.db")
    assert storage_file("journal:////a/b.log") == Path("/a/b.log")
    assert storage_file("postgresql+psycopg://me@host/x") is None


def test_a_database_appears_whole(tmp_path):
    """Plain Optuna programs that wait for the file open it the moment it is there."""
    path = tmp_path / "study.db"

    def wait_and_open():
        print("waits", flush=True)
        while not path.exists():
            pass
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        print(optuna.get_all_study_names(storage))
        storage.remove_session()
        storage.engine.dispose()

    waiting = programs.start(wait_and_open)
    assert waiting.stdout.readline() == "waits\n"
    storage = open_storage(sqlite_url(path), create=True)
    close_storage(storage)
    assert waiting.communicate(timeout=PATIENCE)[0] == "[]\n"
    assert waiting.returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["study.db"]
    (tmp_path / ".other.db.making").write_bytes(b"of a killed process")
    close_storage(open_storage(sqlite_url(tmp_path / "other.db"), create=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.db", "study.db"]
