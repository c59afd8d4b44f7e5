"""Disks and files that fail under a study: waited for or one line, nothing lost, and on it goes."""

import contextlib
import sqlite3
import subprocess
import sys
import threading

import optuna
import pytest
from needs import missing
from toy import Toy
from toy_trail import plan_at, quiet, reference, run, trail  # noqa: F401

from mnist_core.errors import UserError
from studies.analysis import stored_study
from studies.protocol.fresh_start import start_fresh
from studies.storage import patience, sqlite
from studies.storage.open import StorageError, close_storage, open_storage

pytestmark = [
    pytest.mark.usefixtures("quiet"),
    pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's mount, chattr and signals"),
]

LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


class FailsAt(Toy):
    """Has something happen while a trial is trained, after its first report."""

    def __init__(self, number, happen):
        super().__init__()
        self.number, self.happen = number, happen

    def __call__(self, task, report):
        def reported(step, metrics):
            report(step, metrics)
            if step == 1 and task.number == self.number and self.happen is not None:
                happen, self.happen = self.happen, None
                happen()

        return super().__call__(task, reported)


@contextlib.contextmanager
def locker(file, seconds):
    """Another process that holds the database's write lock for some seconds, or until killed."""
    running = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", LOCK, str(file), str(seconds)], stdout=subprocess.PIPE
        )
        running.append(process)
        assert process.stdout.readline() == b"locked\n"

    try:
        yield start
    finally:
        for process in running:
            process.kill()
            process.communicate()


def one_line(plan, toy):
    with pytest.raises(StorageError) as caught:
        run(plan, toy)
    assert "\n" not in str(caught.value)
    assert toy.happen is None
    return str(caught.value)


def test_a_short_lock_is_waited_for(tmp_path, reference):  # noqa: F811
    plan = plan_at(tmp_path)
    with locker(plan.folder / "study.db", 1.0) as lock:
        run(plan, FailsAt(3, lock))
    assert trail(plan.storage_url) == reference


@pytest.mark.parametrize("when", ["report", "ask"])
def test_a_long_lock_is_one_line(tmp_path, monkeypatch, reference, when):  # noqa: F811
    plan = plan_at(tmp_path)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.5)
    with locker(plan.folder / "study.db", 600) as lock:
        if when == "ask":

            def listen(event):
                if event.kind == "complete" and event.trial == 3:
                    lock()

            with pytest.raises(StorageError, match="database is locked") as caught:
                run(plan, Toy(), listeners=[listen])
            assert "\n" not in str(caught.value)
        else:
            assert "database is locked" in one_line(plan, FailsAt(3, lock))
    run(plan, Toy())
    assert trail(plan.storage_url) == reference


def test_who_has_waited_in_vain_once_does_not_wait_again(tmp_path, monkeypatch):
    """What a study still has to write when it is closed would each take a minute."""
    plan = plan_at(tmp_path)
    run(plan, Toy())
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 1.0)
    storage = open_storage(plan.storage_url, create=False)
    study = optuna.load_study(study_name="toy", storage=storage)

    def patience():
        with storage.engine.connect() as connection:
            return connection.exec_driver_sql("PRAGMA busy_timeout").scalar()

    assert patience() == 1000
    with locker(plan.folder / "study.db", 600) as lock:
        lock()
        with pytest.raises(optuna.exceptions.StorageInternalError):
            study.set_user_attr("a", 1)
    assert patience() < 1000
    study.set_user_attr("a", 1)
    close_storage(storage)


def fill(folder):
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_full_disk(small_disk, kind, reference):  # noqa: F811
    plan = plan_at(small_disk, f"{kind}:///{small_disk / 'toy' / 'study.file'}")
    said = one_line(plan, FailsAt(3, lambda: fill(small_disk)))
    assert "full" in said or "No space left" in said
    (small_disk / "filler").unlink()
    run(plan, Toy())
    assert trail(plan.storage_url) == reference


def test_a_full_disk_does_not_hide_a_finished_study(small_disk, reference):  # noqa: F811
    plan = plan_at(small_disk)
    run(plan, Toy())
    fill(small_disk)
    assert stored_study.read(plan).phase == "finished"
    assert trail(plan.storage_url) == reference
    with pytest.raises(StorageError, match=r"full|No space"):  # what writes is refused
        open_storage(plan.storage_url, create=True)


@pytest.fixture
def immutable(tmp_path):
    """Makes a folder and all in it unchangeable, for root, too, and for files that are open."""
    folders = []
    (tmp_path / "probe").write_text("")
    if subprocess.run(["chattr", "+i", tmp_path / "probe"], capture_output=True).returncode != 0:
        missing("chattr +i does not work here; root passes over modes")
    subprocess.run(["chattr", "-i", tmp_path / "probe"], check=True)

    def change(folder, sign="+"):
        folders.append(folder)
        # SQLite's -shm is memory, mapped: the kernel kills who writes to it when it cannot change.
        paths = [folder, *(f for f in folder.iterdir() if not f.name.endswith("-shm"))]
        subprocess.run(["chattr", f"{sign}i", *paths], check=True)

    try:
        yield change
    finally:
        for folder in folders:
            subprocess.run(["chattr", "-R", "-i", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_folder_that_becomes_read_only(tmp_path, immutable, kind, reference):  # noqa: F811
    plan = plan_at(tmp_path, f"{kind}:///{tmp_path / 'toy' / 'study.file'}")
    said = one_line(plan, FailsAt(3, lambda: immutable(plan.folder)))
    assert str(plan.folder) in said
    with pytest.raises(UserError):  # and is one line for the next run, too
        run(plan, Toy())
    immutable(plan.folder, "-")
    run(plan, Toy())
    assert trail(plan.storage_url) == reference


def test_a_journal_that_is_deleted_is_not_made_anew(tmp_path):
    plan = plan_at(tmp_path, f"journal:///{tmp_path / 'toy' / 'study.file'}")
    file = plan.folder / "study.file"
    assert str(file) in one_line(plan, FailsAt(3, file.unlink))
    assert not file.exists()


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_folder_that_is_moved_is_not_written_to(tmp_path, kind, reference):  # noqa: F811
    plan = plan_at(tmp_path, f"{kind}:///{tmp_path / 'toy' / 'study.file'}")
    moved = tmp_path / "moved"
    one_line(plan, FailsAt(3, lambda: plan.folder.rename(moved)))
    assert not (plan.folder / "study.file").exists()
    if plan.folder.exists():
        plan.folder.rmdir()
    moved.rename(plan.folder)
    run(plan, Toy())
    assert trail(plan.storage_url) == reference


@pytest.mark.parametrize("phase", ["search", "confirm"])
def test_a_database_that_is_deleted_is_one_line(tmp_path, phase):
    """The system would let it be written on, and all would be gone in the end."""
    plan = plan_at(tmp_path)
    file = plan.folder / "study.db"

    def listen(event):
        if (event.kind, event.phase, event.trial) == ("complete", phase, 1):
            file.unlink()

    with pytest.raises(StorageError, match=r"study\.db"):
        run(plan, Toy(), listeners=[listen])
    assert not file.exists()


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
@pytest.mark.parametrize("how", ["cut to nothing", "cut in half", "written over"])
def test_a_file_that_another_program_writes_to_is_one_line(tmp_path, kind, how):
    """The study does not end as if all were well: what is there cannot be read afterwards."""
    plan = plan_at(tmp_path, f"{kind}:///{tmp_path / 'toy' / 'study.file'}")
    file = plan.folder / "study.file"

    def spoil():
        size = file.stat().st_size
        with file.open("r+b") as opened:
            if how == "written over":
                opened.write(b"\0garbage" * (size // 8))
            else:
                opened.truncate(0 if how == "cut to nothing" else size // 2)

    one_line(plan, FailsAt(3, spoil))


def test_a_trial_that_is_missing_is_one_line(tmp_path):
    plan = plan_at(tmp_path)
    run(plan, Toy())
    for phase in ("toy.confirm", "toy"):
        with (
            contextlib.closing(sqlite3.connect(plan.folder / "study.db")) as connection,
            connection,
        ):
            which = "study_id = (SELECT study_id FROM studies WHERE study_name = ?)"
            connection.execute(f"DELETE FROM trials WHERE number = 3 AND {which}", [phase])
        assert 3 not in [r.number for r in stored_study.read(plan).search] or phase != "toy"
        with pytest.raises(UserError, match="trial 3") as caught:
            run(plan, Toy())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_that_another_program_deletes_is_one_line(tmp_path, kind, reference):  # noqa: F811
    plan = plan_at(tmp_path, f"{kind}:///{tmp_path / 'toy' / 'study.file'}")

    def delete():
        storage = open_storage(plan.storage_url, create=False)
        optuna.delete_study(study_name="toy", storage=storage)
        close_storage(storage)

    one_line(plan, FailsAt(3, delete))
    with pytest.raises(UserError, match="--fresh"):  # its files are still there
        run(plan, Toy())
    start_fresh(plan, say=str)
    run(plan, Toy())
    assert trail(plan.storage_url) == reference


@pytest.mark.parametrize("when", ["open", "write"])
def test_a_wait_for_a_lock_is_said_once(tmp_path, monkeypatch, caplog, when):
    monkeypatch.setattr(patience, "SAID_AFTER", 0.3)
    plan = plan_at(tmp_path)
    with locker(plan.folder / "study.db", 2.0) as lock:
        if when == "open":
            close_storage(open_storage(plan.storage_url, create=True))
            lock()
        run(plan, Toy() if when == "open" else FailsAt(3, lock))
    said = [one for one in caplog.messages if "has locked it" in one]
    assert 1 <= len(said) <= 2 and "60 s" in said[0] and "study.db" in said[0]


def test_no_wait_is_said_where_there_is_none(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(patience, "SAID_AFTER", 5.0)
    run(plan_at(tmp_path), Toy())
    assert not any("has locked it" in one for one in caplog.messages)


def test_a_write_starts_no_thread(tmp_path, monkeypatch):
    """On a busy machine each would wait milliseconds for its first turn."""
    plan = plan_at(tmp_path)
    run(plan, Toy())
    storage = open_storage(plan.storage_url, create=False)
    study = optuna.load_study(study_name="toy", storage=storage)
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    study.set_user_attr("a", 1)
    close_storage(storage)
