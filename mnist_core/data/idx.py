"""IDX files, plain or gzip: read with every check, written byte for byte the same each time.

The format is that of MNIST's page (Y. LeCun, C. Cortes, C. J. C. Burges): big-endian, a magic
number ``0x0000TTRR`` (type, rank), a 4-byte size per dimension, then the values.
"""

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from mnist_core.data import file_kinds, unreadable
from mnist_core.errors import DataError

MAX_BYTES: Final = 2**30  # largest decompressed size that is read unless said otherwise: 1 GiB
MAX_SIDE: Final = 4096  # largest number of rows or columns of an image

_CHUNK: Final = 2**20
_MAGIC_BYTES: Final = 4
_END: Final = "the end of the file"
_CUT_OFF: Final = f"; it is cut off: {unreadable.AGAIN}"
_GZIP_MAGIC: Final = b"\x1f\x8b"

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Kind:
    """What an IDX file may hold."""

    what: str
    magic: int  # the first four bytes as a big-endian number
    rank: int
    item_bytes: int  # bytes of one value

    @property
    def header_bytes(self) -> int:
        """Offset of the first value."""
        return 4 + 4 * self.rank


IMAGES: Final = Kind("images", 0x0803, 3, 1)
LABELS: Final = Kind("labels", 0x0801, 1, 1)
LABEL_TABLE: Final = Kind("a label table", 0x0C02, 2, 4)
"""QMNIST's labels: int32, one row an image, the class in column 0."""


@dataclass(frozen=True, eq=False)
class Raw:
    """The checked, decompressed content of one IDX file."""

    path: Path
    kind: Kind
    shape: tuple[int, ...]
    content: bytearray  # header and values; exactly as long as the header says

    def sha256(self) -> str:
        """Return the hash of the decompressed content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def images(self) -> UInt8Array:
        """Return the images, uint8 ``[N, rows, columns]``, a view on the content."""
        values = np.frombuffer(self.content, np.uint8, offset=self.kind.header_bytes)
        return values.reshape(self.shape)

    def labels(self, n_classes: int = 10) -> UInt8Array:
        """Return uint8 ``[N]``; raise ``DataError`` if one is not in ``0 .. n_classes - 1``."""
        values: npt.NDArray[np.integer]
        if self.kind.item_bytes == 1:
            values = np.frombuffer(self.content, np.uint8, offset=self.kind.header_bytes)
            stride = 1
        else:
            table = np.frombuffer(self.content, ">i4", offset=self.kind.header_bytes)
            values = table.reshape(self.shape)[:, 0]
            stride = 4 * self.shape[1]
        bad = np.flatnonzero((values < 0) | (values >= n_classes))
        if bad.size:
            first = int(bad[0])
            raise _problem(
                self.path,
                self.kind.header_bytes + first * stride,
                f"a label in 0..{n_classes - 1}",
                f"{int(values[first])} (label number {first})",
            )
        return values.astype(np.uint8, copy=False)


def read_images(path: str | Path, *, limit: int = MAX_BYTES) -> UInt8Array:
    """Return uint8 ``[N, rows, columns]`` of at most ``limit`` bytes; raise as ``read_raw``."""
    return read_raw(path, IMAGES, limit=limit).images()


def read_labels(path: str | Path, *, n_classes: int = 10, limit: int = MAX_BYTES) -> UInt8Array:
    """Return classes uint8 ``[N]`` of MNIST's labels or QMNIST's table; raise as ``read_raw``."""
    return read_raw(path, LABELS, LABEL_TABLE, limit=limit).labels(n_classes)


def check_pair(images: Raw, labels: Raw) -> None:
    """Check that there is one label an image; raise ``DataError`` if the counts differ."""
    if images.shape[0] != labels.shape[0]:
        raise _problem(
            labels.path,
            4,
            f"{images.shape[0]} labels, as many as images in {one_line(images.path)}",
            str(labels.shape[0]),
        )


def read_raw(path: str | Path, *kinds: Kind, limit: int = MAX_BYTES) -> Raw:
    """Read and check one IDX file of one of ``kinds`` (any kind if none is given).

    Raises:
        DataError: if it is missing, unreadable, damaged, too large or of another kind.
    """
    # The header is checked before the rest is decompressed, so no more memory is held than what it
    # announces, and never more than limit.
    path = Path(path)
    if "\0" in str(path):
        raise DataError(f"{one_line(path)}: is not a possible file name")
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
        if regular:
            with open(path, "rb") as file:
                return _read(path, file, kinds or (IMAGES, LABELS, LABEL_TABLE), limit)
    except OSError as error:
        raise DataError(f"{one_line(path)}: {unreadable.refused(error)}") from None
    except UnicodeEncodeError:
        raise DataError(f"{one_line(path)}: is not a possible file name here") from None
    raise DataError(f"{one_line(path)}: expected a file, but it is a folder or a device")


def one_line(path: Path) -> str:
    """Return ``path`` for a message: whatever would break the line is shown as ``?``."""
    return "".join(char if char.isprintable() else "?" for char in str(path))


def write_images(path: str | Path, images: UInt8Array) -> None:
    """Write images, uint8 ``[N, rows, columns]``; gzip where ``path`` ends in ``.gz``.

    The bytes depend on the images only (gzip without name and time, level 9).
    """
    _write(Path(path), IMAGES, images)


def write_labels(path: str | Path, labels: UInt8Array) -> None:
    """Write labels, uint8 ``[N]``; see ``write_images``."""
    _write(Path(path), LABELS, labels)


def _write(path: Path, kind: Kind, values: UInt8Array) -> None:
    if values.dtype != np.uint8 or values.ndim != kind.rank:
        raise ValueError(
            f"{kind.what} must be uint8 of rank {kind.rank}, but got {values.dtype} {values.shape}"
        )
    header = np.array([kind.magic, *values.shape], dtype=">u4").tobytes()
    content = header + values.tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(content)


def _read(path: Path, file: BinaryIO, kinds: tuple[Kind, ...], limit: int) -> Raw:
    start = file.read(len(_GZIP_MAGIC))
    file.seek(0)
    chunks = _gunzip(path, file) if start == _GZIP_MAGIC else iter(lambda: file.read(_CHUNK), b"")
    content = bytearray()

    def fill(size: int) -> bool:
        """Read until ``content`` holds ``size`` bytes or more; say whether it does."""
        while len(content) < size:
            chunk = next(chunks, None)
            if chunk is None:
                return False
            content.extend(chunk)
        return True

    def number(offset: int, what: str) -> int:
        if not fill(offset + 4):
            raise _problem(path, len(content), what, _END, _CUT_OFF if offset else _what(content))
        return int.from_bytes(content[offset : offset + 4], "big")

    expected = " or ".join(f"the magic number {kind.magic} of {kind.what}" for kind in kinds)
    magic = number(0, expected)
    kind = next((kind for kind in kinds if kind.magic == magic), None)
    if kind is None:
        fill(file_kinds.HEAD_BYTES)
        raise _problem(path, 0, expected, str(magic), _what(content))
    names = ("the count", "the rows", "the columns")
    shape = tuple(number(4 + 4 * axis, names[axis]) for axis in range(kind.rank))
    for axis, side in enumerate(shape[1:], start=1):
        if not 1 <= side <= MAX_SIDE:
            raise _problem(path, 4 + 4 * axis, f"1..{MAX_SIDE} as {names[axis]}", str(side))
    size = kind.header_bytes + prod(shape) * kind.item_bytes
    if size > limit:
        raise _problem(path, 4, f"at most {limit} bytes", f"a header that announces {size}")
    if not fill(size):
        raise _problem(path, len(content), f"{size} bytes in all", _END, _CUT_OFF)
    if len(content) > size or fill(size + 1):
        raise _problem(path, size, "the end of the file", "further bytes")
    return Raw(path, kind, shape, content)


def _gunzip(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of every gzip member in pieces of at most ``_CHUNK`` bytes."""
    pending = b""
    before = 0  # compressed bytes read before `pending`
    while True:
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            if not pending:
                before = file.tell()
                pending = file.read(_CHUNK)
                if not pending:
                    raise DataError(
                        f"{one_line(path)}: compressed byte {before}: expected more gzip data,"
                        f" but got {_END}{_CUT_OFF}"
                    )
            try:
                chunk = stream.decompress(pending, _CHUNK)
            except zlib.error as error:
                raise DataError(
                    f"{one_line(path)}: after compressed byte {before}: expected gzip data,"
                    f" but got damaged bytes ({error}); {unreadable.AGAIN}"
                ) from None
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            if stream.eof:
                rest = rest.lstrip(b"\0")
            before += len(pending) - len(rest)
            pending = rest
            if chunk:
                yield chunk
        while not pending:
            before = file.tell()
            pending = file.read(_CHUNK)
            if not pending:
                return
            # Tapes and disks pad with zeros, which gzip and Python pass over, too.
            rest = pending.lstrip(b"\0")
            before += len(pending) - len(rest)
            pending = rest


def _what(content: bytearray) -> str:
    """Return a hint on what the file is, or ""."""
    words = file_kinds.describe(bytes(content[: file_kinds.HEAD_BYTES]))
    again = _CUT_OFF if len(content) < _MAGIC_BYTES else ""
    return (f"; this is {words}: {file_kinds.READ}" if words else "") + again


def _problem(path: Path, offset: int, expected: str, came: str, more: str = "") -> DataError:
    return DataError(f"{one_line(path)}: byte {offset}: expected {expected}, but got {came}{more}")
