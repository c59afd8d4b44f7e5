"""IDX files of any name and size: a file of images and one of labels for each part."""

import re
import zlib
from pathlib import Path

from mnist_core.data import idx
from mnist_core.data.idx import one_line
from mnist_core.data.readers import memory
from mnist_core.data.readers.arrays import as_images
from mnist_core.data.readers.parts import PARTS, TRAIN, Parts, Progress, Wanted, of_raw_labels
from mnist_core.errors import DataError

_MOST_LABELS = 256  # of one byte each


def read(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Read the IDX files of a folder, or a file of images with the labels beside it.

    Raises:
        DataError: if there are none, one is damaged, or images and labels do not belong together.
    """
    del progress
    files = _files(path) if path.is_dir() else [path]
    found = {}
    images_of = [file for file in files if "image" in file.name.lower()]
    _check_memory(images_of, wanted, path)
    for file in images_of:
        part = _part(file.name)
        labels = _labels(file)
        if part in found:
            raise DataError(
                f"{one_line(path)}: holds several files of {part} images, one is {file.name}"
            )
        raw, classes = idx.read_raw(file, idx.IMAGES), idx.read_raw(labels, *_LABELS)
        idx.check_pair(raw, classes)
        images = as_images(raw.images(), wanted, one_line(file))
        found[part] = images, classes.labels(_MOST_LABELS).astype("int64")
    if TRAIN not in found:
        raise DataError(
            f"{one_line(path)}: holds no IDX file of images to train on; name them"
            " train-images… and train-labels…"
        )
    return of_raw_labels(found, path)


def _check_memory(files: list[Path], wanted: Wanted, path: Path) -> None:
    try:
        memory.check_idx(files, wanted, path)
    except (OSError, EOFError, ValueError, zlib.error):
        return  # damaged: read_raw says at which byte


_LABELS = (idx.LABELS, idx.LABEL_TABLE)


def is_one(path: Path) -> bool:
    """Return whether a folder holds IDX files."""
    return any("image" in file.name.lower() for file in _files(path))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file() and is_idx(file))


def is_idx(path: Path) -> bool:
    """Return whether a file begins as an IDX file, plain or compressed."""
    try:
        with path.open("rb") as file:
            start = file.read(3)
    except OSError:
        return False
    named = "idx" in path.name  # then it is one also if it ends within its first three bytes
    return start == b"\0\0\x08" or (
        named and (start == b"\0\0\x08"[: len(start)] or start[:2] == b"\x1f\x8b")
    )


def _part(name: str) -> str:
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next(
        (part for part, names in PARTS.items() if any(word in names for word in words)), TRAIN
    )


def _labels(images: Path) -> Path:
    """Return the file of labels that belongs to one of images by its name."""
    stem = images.name.replace("images", "labels").replace("image", "label")
    for name in (stem, stem.replace("idx3", "idx1"), stem.replace("idx3", "idx2")):
        for end in (name, name.removesuffix(".gz"), f"{name}.gz"):
            if end != images.name and images.with_name(end).is_file():
                return images.with_name(end)
    example = stem.replace("idx3", "idx1")
    raise DataError(f"{one_line(images)}: has no file of labels beside it, e.g. {example}")
