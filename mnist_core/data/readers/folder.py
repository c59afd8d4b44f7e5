"""A folder of pictures: a folder a class, perhaps within train, val and test."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mnist_core.data import file_kinds
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers import pictures
from mnist_core.data.readers.memory import check_memory
from mnist_core.data.readers.parts import (
    TRAIN,
    Labelled,
    Parts,
    Progress,
    Wanted,
    check_count,
    natural,
    other_classes,
    part_named,
)
from mnist_core.errors import DataError

_CHUNK: Final = 256  # pictures a task of a thread: a task each would cost more than a small picture


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, before any is opened."""

    files: dict[str, list[Path]]  # by part
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]


def is_one(path: Path) -> bool:
    """Return whether a folder holds folders with pictures."""
    return any(_pictures(inner) or part_named(inner.name) for inner in _folders(path))


def listing(path: Path) -> Listing:
    """List the pictures of a folder.

    Raises:
        DataError: if it has no classes, too few or too many, one without a picture, or a part has
            other classes than ``train``.
    """
    named = {part_named(inner.name): inner for inner in _folders(path)}
    if TRAIN not in named and set(named) - {None} and None not in named:
        part = next(iter(named.values())).name
        if any(_folders(inner) for inner in named.values()):
            raise DataError(f"{one_line(path)}: has a folder {part}, but none called train")
    # A folder of one class may be called train, too: then pictures lie in it, and no folders.
    if TRAIN not in named or not _folders(named[TRAIN]):
        named = {TRAIN: path}
    files: dict[str, list[Path]] = {}
    labels: dict[str, list[int]] = {}
    names: list[str] = []
    parts = {part: folder for part, folder in named.items() if part is not None}
    for part, folder in sorted(parts.items(), key=lambda entry: entry[0] != TRAIN):
        classes = _folders(folder)
        if part == TRAIN:
            names = [inner.name for inner in classes]
            _check_classes(folder, classes)
        files[part], labels[part] = [], []
        for inner in classes:
            found = _pictures(inner)
            if found and inner.name not in names:
                raise DataError(other_classes(path, part, inner.name))
            if part == TRAIN and not found:
                raise DataError(
                    f"{one_line(inner)}: class {inner.name!r} has no picture"
                    f" ({' '.join(file_kinds.PICTURES)}); add some, or remove the folder"
                )
            files[part] += found
            labels[part] += [names.index(inner.name)] * len(found) if found else []
        if not files[part]:
            del files[part], labels[part]
    return Listing(files, labels, tuple(names))


def read(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Decode all pictures of a folder.

    Raises:
        DataError: as ``listing``, or a picture is damaged or of another size than the first.
    """
    found = listing(path)
    total = sum(map(len, found.files.values()))
    first = pictures.decode(found.files[TRAIN][0], wanted)
    shape = first.shape[:2]
    check_memory(total, (*shape, wanted.channels or 3), path)
    done = 0
    parts: dict[str, UInt8Array] = {}
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for part, files in found.files.items():
            chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
            tasks = [pool.submit(_decode_all, chunk, wanted, files[0]) for chunk in chunks]
            decoded = []
            try:
                for task in tasks:
                    decoded.append(task.result())
                    done += len(decoded[-1])
                    if progress:
                        progress(done, total)
            except DataError:
                pool.shutdown(cancel_futures=True)
                raise
            parts[part] = _joined(decoded)
    return Parts(
        {
            part: Labelled(images, np.array(found.labels[part], dtype=np.int64))
            for part, images in _alike(parts, path).items()
        },
        _unless_numbers(found.class_names),
    )


def _check_classes(folder: Path, classes: list[Path]) -> None:
    if not classes:
        more = "; its pictures lie in no folder of a class" if _pictures(folder) else ""
        raise DataError(
            f"{one_line(folder)}: holds no folders of classes, as cats/ and dogs/{more}"
        )
    check_count(len(classes), folder)


def _decode_all(files: list[Path], wanted: Wanted, first: Path) -> UInt8Array:
    images = [pictures.decode(file, wanted) for file in files]
    shape = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != shape:
            raise DataError(_several_sizes(file, image, files[0], images[0]))
    if any(image.ndim == 3 for image in images):
        images = [_in_colour(image, 2) for image in images]
    return np.stack(images)


def _several_sizes(file: Path, image: UInt8Array, other: Path, before: UInt8Array) -> str:
    sizes = ["x".join(map(str, of.shape[:2])) for of in (image, before)]
    return (
        f"{one_line(file)}: is {sizes[0]}, but {one_line(other)} is {sizes[1]}; say to which size"
        " all are scaled, e.g. data.size=64"
    )


def _joined(chunks: list[UInt8Array]) -> UInt8Array:
    if any(chunk.shape[1:3] != chunks[0].shape[1:3] for chunk in chunks):
        sizes = sorted({"x".join(map(str, chunk.shape[1:3])) for chunk in chunks})
        raise DataError(
            f"the pictures are of several sizes ({', '.join(sizes)}); say to which size all are"
            " scaled, e.g. data.size=64"
        )
    if any(chunk.ndim == 4 for chunk in chunks):
        chunks = [_in_colour(chunk, 3) for chunk in chunks]
    return np.concatenate(chunks)


def _alike(parts: dict[str, UInt8Array], path: Path) -> dict[str, UInt8Array]:
    """Bring all parts to the same channels; refuse parts of other sizes."""
    train = parts[TRAIN]
    for part, images in parts.items():
        if images.shape[1:3] != train.shape[1:3]:
            sizes = ["x".join(map(str, of.shape[1:3])) for of in (images, train)]
            raise DataError(
                f"{one_line(path)}: the {part} pictures are {sizes[0]}, those to train on"
                f" {sizes[1]}; say to which size all are scaled, e.g. data.size=64"
            )
    if any(images.ndim == 4 for images in parts.values()):
        return {part: _in_colour(images, 3) for part, images in parts.items()}
    return parts


def _in_colour(images: UInt8Array, grey: int) -> UInt8Array:
    """Return images as they are in colour; those of ``grey`` dimensions have no channels yet."""
    return np.repeat(images[..., None], 3, axis=-1) if images.ndim == grey else images


def _unless_numbers(names: tuple[str, ...]) -> tuple[str, ...]:
    return () if list(names) == [str(number) for number in range(len(names))] else names


def _folders(path: Path) -> list[Path]:
    try:
        entries = [Path(e.path) for e in os.scandir(path) if e.is_dir()]
    except OSError as error:
        raise DataError(f"{one_line(path)}: cannot be read: {error.strerror}") from None
    # Notebooks, desktops and archives leave copies of pictures in hidden folders.
    shown = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    return sorted(shown, key=lambda entry: natural(entry.name))


def _pictures(path: Path) -> list[Path]:
    """Return the pictures in a folder and in its folders, in the order of their names."""
    found: list[Path] = []
    for folder, inner, names in os.walk(path):
        inner[:] = [name for name in inner if not name.startswith((".", "__MACOSX"))]
        found += [
            Path(folder, name)
            for name in names
            if name.lower().endswith(file_kinds.PICTURES) and not name.startswith(".")
        ]
    return sorted(found)
