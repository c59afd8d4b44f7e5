"""Files are written whole or not at all, and what cannot be written is said beforehand."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE

from mnist_core import files
from mnist_core.checkpoints import checkpoint
from mnist_core.comparison import model_record
from mnist_core.config import TrainConfig
from mnist_core.data.storage import SUMS, recorded_sums
from mnist_core.errors import UserError
from mnist_core.trainer import training_state


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "folder" / "file"
    files.write_atomically(path, "old")
    return path


def test_text_and_bytes_in_a_new_folder(tmp_path):
    path = tmp_path / "a" / "b" / "ü.txt"
    files.write_atomically(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    files.write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_as_readable_as_any_other(old):
    other = old.with_name("other")
    other.touch()
    assert stat.S_IMODE(old.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file(old, monkeypatch, failing, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        files.write_atomically(old, "new")
    if isinstance(error, OSError):
        assert str(caught.value) == f"{old}: cannot be written: No space left on device"
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


FULL_DISK = """
import resource
import sys
from pathlib import Path
from mnist_core import files
from mnist_core.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    files.write_atomically(Path(sys.argv[1]), bytes(100_000))
except UserError as error:
    print(error)
"""


def test_a_full_disk(old, root):
    """A limit on the size of files stands for it: the write itself fails, in the middle."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, old],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.stdout == f"{old}: cannot be written: File too large\n"
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("name", ["file/inside", "folder", "x" * 300, "a\0b"])
def test_places_that_cannot_be_written(old, name):
    (old.parent / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot be written: \S") as caught:
        files.write_atomically(old.parent / name, "new")
    assert len(str(caught.value).splitlines()) == 1
    assert old.read_text() == "old"


def test_drafts_of_the_killed_are_removed(old):
    draft = old.parent / ".saving-abc"
    draft.mkdir()
    (draft / "file").write_text("half")
    (old.parent / ".other").write_text("mine")
    files.remove_drafts(old.parent)
    assert sorted(path.name for path in old.parent.iterdir()) == [".other", "file"]


def test_folders_are_made_and_checked(tmp_path):
    files.prepare_folder(tmp_path / "a" / "b", "--out")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    files.check_file(tmp_path / "c" / "file", "--save", "m")
    assert list((tmp_path / "c").iterdir()) == []


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            lambda here: files.prepare_folder(here / "file", "--out"),
            "--out: cannot write to {0}/file:",
        ),
        (lambda here: files.prepare_folder(here / "file" / "in", "--out"), "--out: "),
        (lambda here: files.prepare_folder(here / "a\0b", "--out"), "--out: "),
        (lambda here: files.check_file(here, "--save", "m"), "--save {0}: is a folder; name a fil"),
    ],
)
def test_what_is_no_folder_is_refused(tmp_path: Path, check, said):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError) as caught:
        check(tmp_path)
    assert str(caught.value).startswith(said.format(tmp_path))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "read",
    [
        lambda path: recorded_sums(path.parent),
        checkpoint.load,
        lambda path: training_state.read(path, TrainConfig(), "data"),
        model_record.weights_digest,
    ],
)
def test_a_pipe_is_not_waited_for(tmp_path, read):
    """Nobody writes to it: to open it would take for ever."""
    path = tmp_path / SUMS
    os.mkfifo(path)
    with pytest.raises(UserError, match="pipe"):
        read(path)


def test_a_path_as_it_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.from_here(tmp_path / "a" / "b") == Path("a/b")
    assert files.from_here(tmp_path.parent / "x") == tmp_path.parent / "x"
    assert files.from_here(Path("a")) == Path("a")
    assert files.printable("a é\nb\x1b[0m\u2028") == "a é\\nb\\x1b[0m\\u2028"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert files.from_here(tmp_path / "a") == tmp_path / "a"
