"""Data sets: IDX files, verified, split, and loaded once a process as tensors on the device."""

from mnist_core.data.datasets import Data, Split, clear_cache, load, load_confirm, load_test
from mnist_core.data.registry import DATA_SETS, DataSet

__all__ = [
    "DATA_SETS",
    "Data",
    "DataSet",
    "Split",
    "clear_cache",
    "load",
    "load_confirm",
    "load_test",
]
