"""Data sets by name that come as archives: CIFAR, SVHN, EMNIST. No pickle is ever read."""

import hashlib
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from mnist_core.data import download, idx
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers.memory import check_memory
from mnist_core.data.readers.parts import (
    TEST,
    TRAIN,
    Labels,
    Parts,
    Progress,
    Wanted,
    of_raw_labels,
)
from mnist_core.data.readers.scaling import scaled
from mnist_core.errors import DataError

_MOST = 2**30  # bytes of one archive; EMNIST's has 536 MiB


@dataclass(frozen=True)
class Archive:
    """One published file."""

    name: str
    url: str
    digest: str  # ``md5:HEX`` as published: good against damage, not against malice


@dataclass(frozen=True)
class ArchiveSet:
    """One data set."""

    name: str
    title: str
    licence: str
    archives: tuple[Archive, ...]
    read: Callable[[Path, Wanted, Progress | None], Parts]
    train_size: int  # number of training images
    test_size: int
    shape: tuple[int, ...]  # of an image

    def decode(self, folder: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
        """Read the archives in ``folder``; raise ``DataError`` if they do not fit into memory."""
        # Archives are read whole: their images are in memory in this form, whatever is wanted.
        check_memory(self.train_size + self.test_size, self.shape, folder)
        return self.read(folder, wanted, progress)


def download_archives(
    known: ArchiveSet, folder: Path, progress: download.Progress | None = None
) -> None:
    """Download the archives that ``folder`` lacks, and check what came.

    Raises:
        DataError: if one cannot be had; the message says where to put it by hand.
    """
    if all((folder / archive.name).is_file() for archive in known.archives):
        return
    with download.lock(folder):
        for archive in known.archives:
            target = folder / archive.name
            if target.is_file():
                continue
            try:
                download.fetch(
                    [archive.url],
                    target,
                    lambda path, archive=archive: check_archive(archive, path),  # type: ignore[misc]
                    most=_MOST,
                    progress=progress,
                )
            except DataError as error:
                raise DataError(
                    f"{known.name}: {error}; put {archive.name} by hand into {one_line(folder)}"
                ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def check_archive(archive: Archive, path: Path) -> None:
    """Raise ``DataError`` unless ``path`` holds the published archive."""
    algorithm, _, wanted = archive.digest.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    if digest.hexdigest() != wanted:
        raise DataError(f"{archive.name}: expected {archive.digest}, but got {digest.hexdigest()}")


def _cifar(
    archive: str, parts: Mapping[str, str], names: str, label_bytes: int
) -> Callable[[Path, Wanted, Progress | None], Parts]:
    """Return the reader of a CIFAR archive in the binary version."""

    def read(folder: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
        del progress
        path = folder / archive
        contents: dict[str, list[bytes]] = {TRAIN: [], TEST: []}
        classes: list[str] = []
        try:
            with tarfile.open(path) as file:
                for member in sorted(file.getmembers(), key=lambda one: one.name):
                    opened = file.extractfile(member) if member.isfile() else None
                    name = Path(member.name).name
                    part = next((p for p, start in parts.items() if name.startswith(start)), None)
                    if opened is not None and part is not None and name.endswith(".bin"):
                        contents[part].append(opened.read())
                    elif opened is not None and name == names:
                        classes = opened.read().decode().split()
        except (OSError, EOFError, tarfile.TarError) as error:
            raise DataError(f"{one_line(path)}: cannot be read: {_line(error)}") from None
        found = {part: _records(b"".join(of), label_bytes, path) for part, of in contents.items()}
        images = {part: (scaled(of[0], wanted), of[1]) for part, of in found.items()}
        return of_raw_labels(images, path, classes)

    return read


def _records(content: bytes, label_bytes: int, path: Path) -> tuple[UInt8Array, Labels]:
    size = label_bytes + 3072
    if not content or len(content) % size:
        raise DataError(
            f"{one_line(path)}: {len(content):,} bytes are not whole records of {size:,}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    images = rows[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    # Of CIFAR-100's two labels the last one is the fine class.
    return np.ascontiguousarray(images), rows[:, label_bytes - 1].astype(np.int64)


def _svhn(folder: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    del progress
    from scipy import io as scipy_io  # type: ignore[import-untyped]
    from scipy.io.matlab import MatReadError  # type: ignore[import-untyped]

    found = {}
    for part in (TRAIN, TEST):
        path = folder / f"{part}_32x32.mat"
        try:
            content = scipy_io.loadmat(path, variable_names=("X", "y"))
            images = np.ascontiguousarray(content["X"].transpose(3, 0, 1, 2), dtype=np.uint8)
            labels = content["y"].astype(np.int64).ravel() % 10  # the digit 0 has the label 10
        except (OSError, KeyError, ValueError, TypeError, MatReadError) as error:
            raise DataError(f"{one_line(path)}: cannot be read: {_line(error)}") from None
        found[part] = scaled(images, wanted), labels
    return of_raw_labels(found, folder)


def _emnist(split: str) -> Callable[[Path, Wanted, Progress | None], Parts]:
    """Return the reader of one of EMNIST's six splits."""

    def read(folder: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
        del progress
        path = folder / _EMNIST.name
        found = {}
        try:
            with zipfile.ZipFile(path) as file, tempfile.TemporaryDirectory() as place:
                members = {Path(name).name: name for name in file.namelist()}
                for part in (TRAIN, TEST):
                    raws = []
                    for kind in ("images-idx3", "labels-idx1"):
                        name = f"emnist-{split}-{part}-{kind}-ubyte.gz"
                        target = Path(place) / name
                        target.write_bytes(file.read(members[name]))
                        raws.append(idx.read_raw(target))
                    idx.check_pair(*raws)
                    # Published lying on their side and mirrored.
                    images = np.ascontiguousarray(raws[0].images().transpose(0, 2, 1))
                    labels = raws[1].labels(256).astype(np.int64)
                    found[part] = scaled(images, wanted), labels
                mapping = members.get(f"emnist-{split}-mapping.txt")
                text = file.read(mapping).decode() if mapping else ""
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{one_line(path)}: cannot be read: {_line(error)}") from None
        rows = [line.split() for line in io.StringIO(text) if line.strip()]
        first = int(found[TRAIN][1].min())
        shifted = {part: (images, labels - first) for part, (images, labels) in found.items()}
        return of_raw_labels(shifted, path, [chr(int(row[1])) for row in rows])

    return read


_EMNIST: Final = Archive(
    "gzip.zip",
    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    "md5:58c8d27c78d21e728a6bc7b3cc06412e",
)
_SPLITS: Final = {
    "balanced": (112_800, 18_800),
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "digits": (240_000, 40_000),
    "letters": (124_800, 20_800),
    "mnist": (60_000, 10_000),
}
_TORONTO: Final = "https://www.cs.toronto.edu/~kriz/"
_STANFORD: Final = "http://ufldl.stanford.edu/housenumbers/"
_ENTRIES: Final = (
    ArchiveSet(
        "cifar10",
        "CIFAR-10 colour pictures of 10 things",
        "not stated by its authors (A. Krizhevsky)",
        (
            Archive(
                "cifar-10-binary.tar.gz",
                f"{_TORONTO}cifar-10-binary.tar.gz",
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
            ),
        ),
        _cifar(
            "cifar-10-binary.tar.gz",
            {TRAIN: "data_batch", TEST: "test_batch"},
            "batches.meta.txt",
            1,
        ),
        50_000,
        10_000,
        (32, 32, 3),
    ),
    ArchiveSet(
        "cifar100",
        "CIFAR-100 colour pictures of 100 things",
        "not stated by its authors (A. Krizhevsky)",
        (
            Archive(
                "cifar-100-binary.tar.gz",
                f"{_TORONTO}cifar-100-binary.tar.gz",
                "md5:03b5dce01913d631647c71ecec9e9cb8",
            ),
        ),
        _cifar(
            "cifar-100-binary.tar.gz", {TRAIN: "train", TEST: "test"}, "fine_label_names.txt", 2
        ),
        50_000,
        10_000,
        (32, 32, 3),
    ),
    ArchiveSet(
        "svhn",
        "SVHN house numbers in colour",
        "for non-commercial use (Y. Netzer and others)",
        (
            Archive(
                "train_32x32.mat",
                f"{_STANFORD}train_32x32.mat",
                "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
            ),
            Archive(
                "test_32x32.mat",
                f"{_STANFORD}test_32x32.mat",
                "md5:eb5a983be6a315427106f1b164d9cef3",
            ),
        ),
        _svhn,
        73_257,
        26_032,
        (32, 32, 3),
    ),
    *(
        ArchiveSet(
            f"emnist_{split}",
            f"EMNIST handwritten letters and digits, {split}",
            "not stated by its authors (G. Cohen and others)",
            (_EMNIST,),
            _emnist(split),
            *sizes,
            (28, 28),
        )
        for split, sizes in _SPLITS.items()
    ),
)

ARCHIVE_SETS: Final[Mapping[str, ArchiveSet]] = MappingProxyType(
    {one.name: one for one in _ENTRIES}
)
"""All of them by name."""
