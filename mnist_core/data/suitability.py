"""Whether the images of a data set can be learned from, and judged by."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mnist_core.console.plain_text import counted, has
from mnist_core.data import idx, storage
from mnist_core.data.readers.parts import TEST, VALIDATION
from mnist_core.data.registry import DataSet
from mnist_core.errors import DataError

NO_TEST_SET: Final = "data.test_set is false: there is no test set to read"
_USES: Final = {VALIDATION: "to validate", TEST: "to test"}
_PARTS: Final = "folders train/, val/ and test/"
_GO_WITHOUT: Final = "without a test set, say so: data.test_set=false"


def count_classes(data_set: DataSet, path: Path, classes: idx.UInt8Array) -> int:
    """Return the number of classes; raise ``DataError`` if it is one, or a number has no image."""
    there = np.unique(classes)
    if len(there) < 2:
        raise DataError(
            f"{idx.one_line(path)}: all {len(classes):,} labels are {there[0]}: expected two"
            " classes or more, but got one"
        )
    if data_set.n_classes:
        return data_set.n_classes
    n_classes = int(there[-1]) + 1
    if len(there) < n_classes:
        absent = sorted({*range(n_classes)} - {*there.tolist()})
        listed = ", ".join(map(str, absent[:5])) + (" …" if len(absent) > 5 else "")
        raise DataError(
            f"{idx.one_line(path)}: the labels are {there[0]} to {there[-1]}, but no image has the"
            f" label {listed}; number the {len(there)} classes from 0 on, without gaps"
        )
    return n_classes


def check_trained(
    path: Path,
    labels: npt.NDArray[np.int64],
    train: npt.NDArray[np.int64],
    names: Sequence[str],
    made: Sequence[str],
) -> None:
    """Raise ``DataError`` if the split of own images leaves a class with none to train on.

    Args:
        path: of the images.
        labels: of the images that were split.
        train: places of those that are trained on.
        names: of the classes; empty: they are numbers.
        made: parts that were split off.
    """
    counts = np.bincount(labels)
    left = np.flatnonzero((counts > 0) & (np.bincount(labels[train], minlength=len(counts)) == 0))
    if len(left):
        label = int(left[0])
        name = names[label] if names else str(label)
        n = counted(int(counts[label]), "image")
        raise too_few(path, f"class {name!r} has {n},", made)


def unmeasured(
    n_classes: int,
    judged: Mapping[str, npt.NDArray[np.int64]],
    made: Sequence[str],
    *,
    halved: bool,
) -> str:
    """Return a note on classes that have no image to be judged by; "": each has some.

    Args:
        n_classes: number of classes.
        judged: the labels of the validation images, and of the test images if there are any.
        made: parts that were split off the training images; they take a sixth of each class.
        halved: whether half of the validation images are kept apart for the confirmation.
    """
    none = {part: n_classes - len(np.unique(labels)) for part, labels in judged.items()}
    said = [f"{n:,} {has(n)} no image {_USES[part]}" for part, n in none.items() if n]
    if not said:
        return ""
    given = [part for part, n in none.items() if n and part not in made]
    # A sixth of what the part before has left: one image of 6, and of 8 where there are two parts.
    enough = {(1, False): 6, (2, False): 8, (1, True): 12, (2, True): 15}.get((len(made), halved))
    remedy = "add one of each class there"
    if not given:
        remedy = f"{enough} images of each class are enough, or make the parts yourself: {_PARTS}"
    return (
        f"of {n_classes:,} classes {' and '.join(said)}, so nothing is measured on them; {remedy}"
    )


def too_few(path: Path, what: str, made: Sequence[str]) -> DataError:
    """Return that own images, ``what``, are too few for the parts ``made`` to be split off."""
    uses = ["to train on", *(_USES[part] for part in made)]
    return DataError(
        f"{idx.one_line(path)}: {what} too few to be split into images"
        f" {', '.join(uses[:-1])} and {uses[-1]}; give at least {len(uses)} images of each class,"
        f" or make the parts yourself: {_PARTS}"
    )


def look_at_test(
    data_set: DataSet, folder: Path, train: idx.Raw, classes: idx.UInt8Array, n_classes: int
) -> tuple[dict[str, str], str]:
    """Return file name to raw hash of the test files, and why they cannot be used; "": they can.

    Raises:
        DataError: if one of a known data set is missing, or one is damaged.
    """
    missing = [file for file in data_set.files[2:] if storage.find(file, folder) is None]
    if missing and data_set.n_classes:
        raise DataError(f"{storage.holds_none(data_set, missing[0], folder)}; {_GO_WITHOUT}")
    found = [file for file in data_set.files[2:] if file not in missing]
    raws = {file.name: storage.read_verified(data_set, file, folder) for file in found}
    hashes = {name: raw.sha256() for name, raw in raws.items()}
    if missing:
        return hashes, f"there is no test set: {storage.holds_none(data_set, missing[0], folder)}"
    images, labels = raws.values()
    try:
        check_fits(images, labels, train.shape[1:], classes, n_classes)
    except DataError as error:
        return hashes, f"the test set cannot be used: {error}"
    return hashes, ""


def check_fits(
    images: idx.Raw,
    labels: idx.Raw,
    shape: tuple[int, ...],
    classes: idx.UInt8Array,
    n_classes: int,
) -> None:
    """Check that test or confirm images fit the training images; raise DataError if not."""
    idx.check_pair(images, labels)
    if not images.shape[0]:
        raise DataError(f"{idx.one_line(images.path)}: byte 4: expected images, but got none")
    if images.shape[1:] != shape:
        sizes = ["x".join(map(str, size)) for size in (shape, images.shape[1:])]
        raise DataError(
            f"{idx.one_line(images.path)}: byte 8: expected images of {sizes[0]} as in training,"
            f" but got {sizes[1]}"
        )
    unknown = np.setdiff1d(labels.labels(n_classes), classes)
    if len(unknown):
        raise DataError(
            f"{idx.one_line(labels.path)}: expected classes of the training images, but none of"
            f" those is of class {unknown[0]}"
        )
