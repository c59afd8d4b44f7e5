"""What every reader returns: images and labels as arrays, in the parts that the files make."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mnist_core.console.plain_text import counted
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.errors import DataError
from mnist_core.images import MOST_CLASSES, MOST_SIDE

TRAIN, VALIDATION, TEST = "train", "validation", "test"

PARTS: Final = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation", "dev"),
    TEST: ("test", "testing", "t10k"),
}
"""Names of a part, as folders, files and arrays have them, in small letters."""

Labels = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Told the number of pictures that are decoded, and of all."""


@dataclass(frozen=True)
class Wanted:
    """How images are to be brought to one form; None: as the files are."""

    size: int | None = None  # rows and columns
    channels: int | None = None  # 1 or 3


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images and their classes."""

    images: UInt8Array  # grey ``[N, rows, columns]`` or colour ``[N, rows, columns, 3]``
    labels: Labels  # int64 ``[N]``, places in ``class_names``

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Parts:
    """The images of a data set; ``train`` is always there."""

    of: dict[str, Labelled]  # by ``TRAIN``, ``VALIDATION``, ``TEST``
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what a user may not expect, a line each


def part_named(name: str) -> str | None:
    """Return the part that a folder or file is called after; None: none."""
    lower = name.lower()
    return next((part for part, names in PARTS.items() if lower in names), None)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``2`` before ``10``, and small and capital letters alike."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if i % 2 else (1, 0, p.lower()) for i, p in enumerate(pieces)]


def check_sides(rows: int, columns: int, where: str) -> None:
    """Raise ``DataError`` if images are larger than models take."""
    if max(rows, columns) > MOST_SIDE or min(rows, columns) < 1:
        raise DataError(
            f"{where}: the images are {rows}x{columns}, but {MOST_SIDE}x{MOST_SIDE} are the most;"
            " say to which size they are scaled, e.g. data.size=64"
        )


def of_raw_labels(
    found: dict[str, tuple[UInt8Array, npt.NDArray[Any]]],
    where: Path,
    names: Sequence[str] = (),
) -> Parts:
    """Number the classes of labels of any kind, from 0 on, in the order of their names.

    ``names`` are those of classes that are numbered already.

    Raises:
        DataError: if there are too few or too many classes, or a part has others than ``train``.
    """
    train = np.unique(found[TRAIN][1])
    _check_labelled(found[TRAIN][1], train, where)
    _check_names(names, train, where)
    if names and np.issubdtype(train.dtype, np.integer) and train[-1] < len(names) > 1:
        classes: list[Any] = list(range(len(names)))
        shown = [str(name) for name in names]
        check_each(
            np.bincount(found[TRAIN][1].astype(np.int64), minlength=len(names)), shown, where
        )
    else:
        whole = np.issubdtype(train.dtype, np.integer)  # in their order already, -1 before 1
        classes = train.tolist()
        classes = classes if whole else sorted(classes, key=natural)
        shown = [str(value) for value in classes]
    check_count(len(classes), where)
    place = {value: number for number, value in enumerate(classes)}
    parts = {}
    for part, (images, labels) in found.items():
        if unknown := sorted({*labels.tolist()} - place.keys(), key=str):
            raise DataError(other_classes(where, part, str(unknown[0])))
        numbers = np.array([place[value] for value in labels.tolist()], dtype=np.int64)
        parts[part] = Labelled(images, numbers)
    plain = shown == [str(number) for number in range(len(shown))]
    return Parts(parts, () if plain else tuple(shown))


def _check_labelled(labels: npt.NDArray[Any], classes: npt.NDArray[Any], where: Path) -> None:
    # Two classes may be -1 and 1.
    if np.issubdtype(classes.dtype, np.integer) and classes[0] < 0 and len(classes) > 2:
        n = int((labels == classes[0]).sum())
        raise DataError(
            f"{one_line(where)}: {counted(n, 'image')} with the label {classes[0]}, which often"
            " marks images without one; leave them out, or number the classes from 0 on"
        )


def _check_names(names: Sequence[str], classes: npt.NDArray[Any], where: Path) -> None:
    numbered = bool(names) and np.issubdtype(classes.dtype, np.integer)
    if numbered and not (classes[0] >= 0 and classes[-1] < len(names)):
        wrong = classes[0] if classes[0] < 0 else classes[-1]
        raise DataError(
            f"{one_line(where)}: label {wrong} has no name; there are"
            f" {counted(len(names), 'class name')}, for the labels 0 to {len(names) - 1}"
        )
    double = next((name for name in names if list(names).count(name) > 1), None)
    if double is not None:
        raise DataError(f"{one_line(where)}: two classes have the name {double!r}")


def check_each(counts: npt.NDArray[np.integer], names: Sequence[str], where: Path) -> None:
    """Raise ``DataError`` if a class has no image to learn from."""
    empty = [names[number] for number in np.flatnonzero(counts == 0).tolist()]
    if empty:
        raise DataError(
            f"{one_line(where)}: class {empty[0]!r} has no image to train on; add some, or remove"
            " the class"
        )


def check_count(n_classes: int, where: Path) -> None:
    """Raise ``DataError`` unless there are 2 to 1,000 classes."""
    if n_classes < 2:
        raise DataError(
            f"{one_line(where)}: all images are of one class: expected two classes or more"
        )
    if n_classes > MOST_CLASSES:
        raise DataError(
            f"{one_line(where)}: {counted(n_classes, 'class', 'classes')}, but {MOST_CLASSES:,} are"
            " the most; are the labels really classes?"
        )


def other_classes(where: Path, part: str, name: str) -> str:
    """Return a line: a part has a class that there is nothing to learn of."""
    return (
        f"{one_line(where)}: class {name!r} of the {part} images is not among the training images;"
        " both must have the same classes"
    )
