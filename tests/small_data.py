"""A data set of 600 training and 200 test images: a training takes a moment."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from mnist_core.data import idx
from mnist_core.data.storage import EMBEDDED


@functools.cache
def small_data() -> Path:
    """Return its folder; it stays until this process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, n in (("train", 600), ("t10k", 200)):
        images = idx.read_raw(EMBEDDED / f"{name}-images-idx3-ubyte.gz").images()
        labels = idx.read_raw(EMBEDDED / f"{name}-labels-idx1-ubyte.gz").labels()
        idx.write_images(folder / f"{name}-images-idx3-ubyte", images[:n])
        idx.write_labels(folder / f"{name}-labels-idx1-ubyte", labels[:n])
    return folder


def of_small_data() -> list[str]:
    """Return the options of a command that uses it."""
    return ["--set", "data.name=folder", "--set", f"data.root={small_data()}"]
