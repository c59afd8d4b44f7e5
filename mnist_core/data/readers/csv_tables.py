"""Images in CSV files: a label and the pixels of one image a row."""

import math
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers.arrays import as_images, as_labels
from mnist_core.data.readers.memory import check_table
from mnist_core.data.readers.parts import TRAIN, Parts, Progress, Wanted, of_raw_labels, part_named
from mnist_core.errors import DataError

LABEL_COLUMNS: Final = ("label", "class", "target", "y")


def read_csv(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Read one CSV file, or a folder's train.csv, val.csv and test.csv.

    Raises:
        DataError: if the columns are not a label and the pixels of square images.
    """
    del progress
    if path.is_dir():
        files = {part_named(file.name.partition(".")[0]): file for file in _tables(path)}
        files = {part: file for part, file in files.items() if part is not None}
        if TRAIN not in files:
            raise DataError(f"{one_line(path)}: holds no train.csv")
    else:
        files = {TRAIN: path}
    found = {}
    columns: list[str] | None = None
    for part, file in sorted(files.items(), key=lambda entry: entry[0] != TRAIN):
        names, images, labels = _read(file, wanted)
        if columns is not None and names != columns:
            raise DataError(
                f"{one_line(file)}: has other columns ({len(names):,}: {', '.join(names[:3])} …)"
                f" than {one_line(files[TRAIN])} ({len(columns):,}: {', '.join(columns[:3])} …)"
            )
        columns = names
        found[str(part)] = images, labels
    return of_raw_labels(found, path)


def _tables(path: Path) -> list[Path]:
    return [*path.glob("*.csv"), *path.glob("*.csv.gz")]


def is_one(path: Path) -> bool:
    """Return whether a folder holds CSV files."""
    return bool(_tables(path))


def _read(path: Path, wanted: Wanted) -> tuple[list[str], UInt8Array, npt.NDArray[Any]]:
    import pandas as pd

    try:
        check_table(path)
        head = pd.read_csv(path, header=None, nrows=1, dtype=str)
        named = not all(_is_number(value) for value in head.iloc[0, 1:])
        table = pd.read_csv(path, header=0 if named else None)
    except (OSError, ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{one_line(path)}: cannot be read: {_line(error)}") from None
    table.columns = [str(name).strip() for name in table.columns]
    label = next((name for name in table.columns if name.lower() in LABEL_COLUMNS), None)
    if named and label is None:
        raise DataError(
            f"{one_line(path)}: has no column {' or '.join(LABEL_COLUMNS)}; its columns are"
            f" {', '.join(table.columns[:4])} …"
        )
    label = label or str(table.columns[0])
    pixels = table.drop(columns=label)
    for name in pixels.columns:
        if not pd.api.types.is_numeric_dtype(pixels[name]):
            raise DataError(
                f"{one_line(path)}: column {name!r} is not of numbers; expected {label!r} and the"
                " pixels of one image a row"
            )
    where = one_line(path)
    values = pixels.to_numpy()
    shape = _shape(values.shape[1], wanted.channels, where)
    images = as_images(values.reshape(len(values), *shape), wanted, where)
    labels = table[label].to_numpy()
    if labels.dtype == object:
        labels = labels.astype(str)
    return [*table.columns], images, as_labels(labels, len(images), f"{where}: {label}")


def _shape(pixels: int, channels: int | None, where: str) -> tuple[int, ...]:
    """Return rows, columns, and 3 for colour, of the numbers of a row."""
    side = math.isqrt(pixels)
    if channels != 3 and side**2 == pixels and pixels:
        return side, side
    side = math.isqrt(pixels // 3)
    if 3 * side**2 == pixels and pixels:
        return side, side, 3
    raise DataError(
        f"{where}: has {pixels:,} columns beside the label, which make no square image of one or"
        " three channels; expected a label and rows x rows (x 3) pixels"
    )


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
