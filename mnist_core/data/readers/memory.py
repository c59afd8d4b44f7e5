"""Whether images fit into memory, judged by headers and sizes of files before they are read."""

import gzip
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import numpy as np

from mnist_core.data.host_memory import free_memory
from mnist_core.data.idx import one_line
from mnist_core.data.readers.parts import Wanted
from mnist_core.errors import DataError

_COPIES: Final = 2  # of the decoded images: as they are read, and as they are split
_HEAD: Final = 2**20  # bytes at the start of a table from which its number of rows is estimated
_GZIP_MAGIC: Final = b"\x1f\x8b"


def check_memory(images: int, shape: Sequence[int], where: Path) -> None:
    """Raise ``DataError`` if that many images, decoded and split, do not fit into memory."""
    sides = "x".join(map(str, shape))
    _check(_COPIES * images * math.prod(shape), f"{images:,} images of {sides} take", where)


def check_arrays(found: Sequence[tuple[tuple[int, ...], int]], wanted: Wanted, where: Path) -> None:
    """Raise ``DataError`` if arrays, given by shape and bytes a value, do not fit into memory."""
    needed = 0
    for shape, width in found:
        values = math.prod(shape)
        needed += values * width + _decoded(shape, wanted)
    _check(needed, "to read its arrays takes", where)


def check_npz(path: Path, wanted: Wanted) -> None:
    """Raise ``DataError`` if the arrays of an ``.npz`` do not fit into memory."""
    with zipfile.ZipFile(path) as file:
        found = []
        for name in file.namelist():
            if name.endswith(".npy"):
                with file.open(name) as member:
                    found.append(_array_header(member))
    check_arrays(found, wanted, path)


def npy_header(path: Path) -> tuple[tuple[int, ...], int]:
    """Return shape and bytes a value of a ``.npy``; raise ``ValueError`` if it is none."""
    with path.open("rb") as file:
        return _array_header(file)


def check_tensors(path: Path) -> None:
    """Raise ``DataError`` if the tensors of a ``.pt`` file do not fit into memory."""
    _check(_COPIES * path.stat().st_size, "to read its tensors takes", path)


def check_table(path: Path) -> None:
    """Raise ``DataError`` if the numbers of a CSV file do not fit into memory."""
    # The table has 8 bytes a value, and is copied once without its labels.
    _check(values_of_table(path) * (2 * 8 + _COPIES), "to read its table takes about", path)


def values_of_table(path: Path) -> int:
    """Estimate the number of values of a CSV file from its first lines and its size."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    size = path.stat().st_size
    if packed:
        with path.open("rb") as file:
            file.seek(-4, 2)  # the length of the content modulo 4 GiB
            size = max(size, int.from_bytes(file.read(4), "little"))
    with gzip.open(path) if packed else path.open("rb") as opened:
        head = opened.read(_HEAD)
    values = max(head.count(mark) for mark in (b",", b";", b"\t", b"|", b" ")) + head.count(b"\n")
    return math.ceil(values * size / max(1, len(head)))


def check_idx(files: Sequence[Path], wanted: Wanted, where: Path) -> None:
    """Raise ``DataError`` if the images of IDX files do not fit into memory."""
    found = []
    for path in files:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as opened:
            shape = np.frombuffer(opened.read(16)[4:], ">u4").tolist()
        found.append((tuple(shape), 1))
    check_arrays(found, wanted, where)


def _decoded(shape: Sequence[int], wanted: Wanted) -> int:
    """Return the bytes of images of a shape in the form that is wanted; 0: they are labels."""
    if len(shape) < 3:
        return 0
    colour = len(shape) == 4 and 3 in (shape[1], shape[3])
    channels = wanted.channels or (3 if colour else 1)
    if wanted.size:
        return _COPIES * shape[0] * wanted.size**2 * channels
    return _COPIES * math.prod(shape) // (3 if colour else 1) * channels


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """Return shape and bytes a value of a ``.npy``, without its values."""
    version = np.lib.format.read_magic(file)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, kind = read(file)
    return shape, kind.itemsize


def _check(needed: int, what: str, where: Path) -> None:
    there = free_memory()
    if needed > there:
        raise DataError(
            f"{one_line(where)}: {what} {needed / 2**30:,.1f} GiB, but {there / 2**30:,.1f} GiB of"
            " memory are free; take fewer images, a smaller data.size or data.channels=1"
        )
