import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_core.data import build_subset, idx, storage
from mnist_core.data.registry import by_name
from mnist_core.errors import DataError

EMBEDDED = by_name("mnist-10pct")


@pytest.mark.parametrize(
    ("n", "first"),
    [(60_000, [5296, 40657, 52882, 46139, 11345]), (10_000, [7006, 7326, 4517, 6283, 3655])],
)
def test_first_indices(n: int, first: list[int]):
    drawn = build_subset.drawn(n)
    assert drawn[:5].tolist() == first
    assert len(set(drawn.tolist())) == n // 10


def test_the_confirm_set_is_apart_and_as_specified():
    confirm = build_subset.drawn_to_confirm(60_000)
    assert confirm[:5].tolist() == [39269, 32080, 4358, 29678, 42888]
    assert len({*confirm.tolist()} - {*build_subset.drawn(60_000).tolist()}) == 5_000
    labels = idx.read_labels(storage.EMBEDDED / "confirm-labels-idx1-ubyte.gz")
    counts = np.bincount(labels, minlength=10).tolist()
    assert counts == [471, 542, 506, 502, 498, 439, 536, 529, 475, 502]


def test_class_counts_of_the_test_subset():
    labels = idx.read_labels(storage.EMBEDDED / "t10k-labels-idx1-ubyte.gz")
    counts = np.bincount(labels, minlength=10).tolist()
    assert counts == [104, 114, 97, 100, 100, 71, 98, 98, 111, 107]


def test_embedded_files_are_small_and_licensed():
    assert sum(path.stat().st_size for path in storage.EMBEDDED.iterdir()) < 2_000_000
    licence = (storage.EMBEDDED / "LICENSE.md").read_text(encoding="utf-8")
    for word in ("CC BY-SA 3.0", "LeCun", "Cortes", "Burges", "default_rng(42)"):
        assert word in licence


def test_rebuild_equals_what_is_shipped(full_mnist: Path, tmp_path: Path):
    hashes = build_subset.build(full_mnist, tmp_path)
    files = (*EMBEDDED.files, *EMBEDDED.confirm)
    assert hashes == {file.name: file.sha256 for file in files}
    for file in files:
        shipped = idx.read_raw(storage.EMBEDDED / f"{file.name}.gz")
        assert idx.read_raw(tmp_path / f"{file.name}.gz").content == shipped.content


def test_images_keep_the_order_drawn(full_mnist: Path):
    full = idx.read_images(full_mnist / "t10k-images-idx3-ubyte.gz")
    shipped = idx.read_images(storage.EMBEDDED / "t10k-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(shipped, full[build_subset.drawn(10_000)])


def test_other_files_are_refused(tiny: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"expected sha256 .* of mnist"):
        build_subset.build(tiny, tmp_path)


def test_command_says_the_error_in_one_line(tmp_path: Path):
    command = [sys.executable, "-m", "mnist_core.data.build_subset", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
