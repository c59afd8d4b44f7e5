"""W&B's own files: whether an offline run is on disk to its end."""

import threading
import time

import pytest
from made_log import begin, track, trial, write
from test_tracker_wandb import _nobody, runs  # noqa: F401

from mnist_core.tracking.wandb_internals import ended, wait_until_ended


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The file of a real run; of so many steps that it takes more than a block of 32 KiB."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        write(folder, [*begin(), *trial(0, steps=300)])
        assert track("wandb", folder)[1]
    (file,) = runs(folder)["0123abcd-search-0"].glob("*.wandb")
    found = file.read_bytes()
    assert len(found) > 3 * 32 * 1024
    return found


def test_a_whole_run_has_ended(content, tmp_path):
    (tmp_path / "run").write_bytes(content)
    assert ended(tmp_path / "run")


def test_what_a_kill_cut_short_has_not(content, tmp_path):
    file = tmp_path / "run"
    size = len(content)
    for length in [0, 3, 7, *range(32_700, 32_800), *range(size - 300, size)]:
        file.write_bytes(content[:length])
        assert not ended(file), length
    assert not ended(tmp_path / "none")


def test_another_format_is_trusted(tmp_path):
    (tmp_path / "run").write_bytes(b"something new")
    assert ended(tmp_path / "run")


def test_it_is_waited_for(content, tmp_path):
    file = tmp_path / "run"
    file.write_bytes(content[:-20])
    began = time.monotonic()
    assert not wait_until_ended(file, 0.2) and time.monotonic() - began >= 0.2
    writer = threading.Timer(0.1, file.write_bytes, [content])
    writer.start()
    assert wait_until_ended(file, 60.0)
    writer.join()
