"""The pictures of a folder, decoded: a folder a class, perhaps within train, val and test."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mnist_core.console.plain_text import are, counted
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers import class_folders, pictures
from mnist_core.data.readers.memory import check_memory
from mnist_core.data.readers.parts import (
    TRAIN,
    Labelled,
    Parts,
    Progress,
    Wanted,
)
from mnist_core.errors import DataError

_CHUNK: Final = 256  # pictures a task of a thread: a task each would cost more than a small picture


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some pictures of a part, decoded."""

    images: UInt8Array
    colour: list[Path]  # those that are in colour


def read(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Decode all pictures of a folder.

    Raises:
        DataError: as ``class_folders.listing``, or a picture is damaged or of another size than
            the first.
    """
    found = class_folders.listing(path)
    first = pictures.decode(found.files[TRAIN][0], wanted)
    check_memory(found.total, (*first.shape[:2], wanted.channels or 3), path)
    parts: dict[str, UInt8Array] = {}
    colour: list[Path] = []
    done = 0
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for part, files in found.files.items():
            chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
            tasks = [pool.submit(_decode_all, chunk, wanted, files[0]) for chunk in chunks]
            decoded = []
            try:
                for task in tasks:
                    chunk = task.result()
                    decoded.append(chunk.images)
                    colour += chunk.colour
                    done += len(chunk.images)
                    if progress:
                        progress(done, found.total)
            except DataError:
                pool.shutdown(cancel_futures=True)
                raise
            parts[part] = _joined(decoded, path)
    return Parts(
        {
            part: Labelled(images, np.array(found.labels[part], dtype=np.int64))
            for part, images in _alike(parts, path).items()
        },
        found.class_names,
        (*found.notes, *_coloured(colour, found.total, path)),
    )


def _coloured(colour: Sequence[Path], total: int, path: Path) -> list[str]:
    """Return a note if few pictures in colour make colour of all."""
    if not 0 < len(colour) <= total // 2:
        return []
    return [
        f"{one_line(path)}: {counted(len(colour), 'picture')} of {total:,} {are(len(colour))} in"
        f" colour, e.g. {one_line(colour[0].relative_to(path))}, so all are read in colour;"
        " data.channels=1 reads all as grey"
    ]


def _decode_all(files: list[Path], wanted: Wanted, first: Path) -> Chunk:
    images = [pictures.decode(file, wanted) for file in files]
    shape = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != shape:
            raise DataError(_several_sizes(file, image, files[0], images[0]))
    colour = [file for file, image in zip(files, images, strict=True) if image.ndim == 3]
    if colour:
        images = [_in_colour(image, 2) for image in images]
    return Chunk(np.stack(images), [] if wanted.channels == 3 else colour)


def _several_sizes(file: Path, image: UInt8Array, other: Path, before: UInt8Array) -> str:
    sizes = ["x".join(map(str, of.shape[:2])) for of in (image, before)]
    return (
        f"{one_line(file)}: is {sizes[0]}, but {one_line(other)} is {sizes[1]}; say to which size"
        " all are scaled, e.g. data.size=64"
    )


def _joined(chunks: list[UInt8Array], path: Path) -> UInt8Array:
    if any(chunk.shape[1:3] != chunks[0].shape[1:3] for chunk in chunks):
        sizes = sorted({"x".join(map(str, chunk.shape[1:3])) for chunk in chunks})
        raise DataError(
            f"{one_line(path)}: the pictures are of several sizes ({', '.join(sizes)}); say to"
            " which size all are scaled, e.g. data.size=64"
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
