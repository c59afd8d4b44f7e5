"""A cache folder of its own for each test, and small data sets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnist_core.data import clear_cache, idx, registry
from mnist_core.data.registry import DataFile, DataSet

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache folder: empty, and the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(folder))
    clear_cache()
    yield folder
    clear_cache()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Folder with 60 training and 12 test images of 6x4 pixels in 3 classes, gzip."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for names, n in ((NAMES[:2], 60), (NAMES[2:], 12)):
        images = rng.integers(0, 256, (n, 6, 4), dtype=np.uint8)
        idx.write_images(folder / f"{names[0]}.gz", images)
        idx.write_labels(folder / f"{names[1]}.gz", (np.arange(n) % 3).astype(np.uint8))
    return folder


@pytest.fixture
def tiny_set(tiny: Path) -> DataSet:
    """The files of ``tiny`` as a known data set of 3 classes, without mirrors."""
    files = (DataFile(name, idx.read_raw(tiny / f"{name}.gz").sha256()) for name in NAMES)
    return DataSet("tiny", "a tiny set", "none", *files, mirrors=(), n_classes=3)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """Make a data set known by its name for one test."""

    def add(data_set: DataSet) -> DataSet:
        entries = {**registry.DATA_SETS, data_set.name: data_set}
        monkeypatch.setattr(registry, "DATA_SETS", entries)
        return data_set

    return add
