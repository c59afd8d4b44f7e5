"""The journal: torn lines are cut off, a killed holder's lock is gone, garbage is one line."""

import os
import re
import signal
import subprocess
import sys
import threading
from functools import partial

import optuna
import programs
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from waiting import PATIENCE

from studies.storage.errors import NoStudies
from studies.storage.journal import Journal
from studies.storage.open import Damaged, StorageError, open_storage


@pytest.fixture
def path(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return tmp_path / "results" / "study.log"


def opened(path, *, create=True):
    return open_storage(f"journal:///{path}", create=create)


def refusal(path, kind=StorageError, *, create=True):
    with pytest.raises(kind, match=re.escape(str(path))) as caught:
        opened(path, create=create)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def made(path, trials=3):
    study = optuna.create_study(study_name="s", storage=opened(path))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return study


def test_plain_optuna_reads_it(path):
    study = made(path)
    plain = JournalStorage(JournalFileBackend(str(path)))
    again = optuna.load_study(study_name="s", storage=plain)
    assert again.trials == study.trials


@pytest.mark.parametrize("torn", [b"{", b'{"op_code":4,"worker_id":"x"', b"\xc3", b"\0" * 9])
def test_a_torn_line_is_cut_off(path, torn):
    study = made(path)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    again = optuna.load_study(study_name="s", storage=opened(path, create=False))
    assert again.trials == study.trials
    assert path.read_bytes() == whole + torn  # reading changes nothing
    again.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert path.read_bytes().startswith(whole + b"{")
    assert len(optuna.load_study(study_name="s", storage=opened(path)).trials) == 4


def test_a_journal_that_is_all_one_torn_line(path):
    path.parent.mkdir()
    path.write_bytes(b'{"op_code":0,"worker' + b"x" * 200_000)
    refusal(path, Damaged)


def test_a_line_longer_than_a_block_is_kept(path):
    study = made(path)
    study.set_user_attr("long", "x" * 200_000)
    study.set_user_attr("short", 1)
    path.write_bytes(path.read_bytes() + b"x" * 200_000)
    study.set_user_attr("more", 2)
    again = optuna.load_study(study_name="s", storage=opened(path))
    assert set(again.user_attrs) == {"long", "short", "more"}


@pytest.mark.skipif(os.name != "posix", reason="the kernel's lock")
def test_a_killed_holders_lock_is_gone_at_once(path):
    study = made(path)

    def hold():
        with Journal(f"journal:///{path}", path).file.locked():
            print("locked", flush=True)
            sys.stdin.read()

    holder = programs.start(hold, stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "locked\n"
    written = threading.Thread(target=study.set_user_attr, args=("x", 1))
    written.start()
    written.join(0.2)
    assert written.is_alive()  # it waits
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    written.join(PATIENCE)
    assert study.user_attrs == {"x": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["study.log"]


def test_a_missing_journal_is_not_made_by_reading(path):
    refusal(path, NoStudies, create=False)
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [b"these are my notes\n", b'{"notes": 1}\n', b"[1]\n", b"SQLite format 3\0", b"\xff\xfe\n"],
)
@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_journal_is_left_alone(path, content, create):
    path.parent.mkdir()
    path.write_bytes(content)
    refusal(path, Damaged, create=create)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "garbage",
    [
        b"nonsense\n",
        b'{"op_code": 99, "worker_id": "x"}\n',
        b'{"op_code": 4, "worker_id": "x"}\n',
        b'{"op_code": 0, "worker_id": "x", "study_name": 1, "directions": 5}\n',
        b"[]\n",
        b"\xff\xff\n",
    ],
)
def test_a_damaged_journal_is_one_line(path, garbage):
    made(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], garbage, *lines[3:]]))
    refusal(path, Damaged)


def test_a_journal_that_is_damaged_while_it_is_open_is_one_line(path):
    study = made(path)
    with path.open("ab") as file:
        file.write(b"nonsense\nmore\n")
    with pytest.raises(Damaged, match=r"study\.log"):
        study.set_user_attr("x", 1)


def test_what_is_not_written_is_not_in_the_file(path, monkeypatch):
    study = made(path)
    before = path.read_bytes()
    real = os.write

    def half(descriptor, data):
        real(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("studies.storage.journal_file.os.write", half)
    with pytest.raises(StorageError, match="No space left on device"):
        study.set_user_attr("x", 1)
    monkeypatch.undo()
    assert path.read_bytes() == before
    study.set_user_attr("y", 2)
    assert optuna.load_study(study_name="s", storage=opened(path)).user_attrs == {"y": 2}


def test_two_processes_append_to_one_journal(path):
    made(path, trials=1)

    def append(name):
        study = optuna.load_study(study_name="s", storage=opened(path))
        for n in range(40):
            study.set_user_attr(f"{name}{n}", n)

    processes = [programs.start(partial(append, name)) for name in "ab"]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    again = optuna.load_study(study_name="s", storage=opened(path))
    assert len(again.user_attrs) == 80


def test_a_trial_that_runs_is_given_as_a_copy(path):
    study = made(path)
    begun = study.ask()
    trial = study._storage.get_trial(begun._trial_id)
    trial.state = optuna.trial.TrialState.FAIL
    assert study.trials[begun.number].state is optuna.trial.TrialState.RUNNING


def test_urls(tmp_path):
    for url in ("journal:", "journal://", "journal:///", "journal://host/x"):
        with pytest.raises(StorageError, match=re.escape(url)):
            open_storage(url, create=True)
