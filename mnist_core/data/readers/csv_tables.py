"""Images in CSV files: a label and the pixels of one image a row."""

import codecs
import csv
import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from mnist_core.console import plain_text
from mnist_core.console.plain_text import counted
from mnist_core.data import unreadable
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers.arrays import as_images, as_labels
from mnist_core.data.readers.memory import check_table
from mnist_core.data.readers.parts import TRAIN, Parts, Progress, Wanted, of_raw_labels, part_named
from mnist_core.errors import DataError

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

LABEL_COLUMNS: Final = (
    *("label", "labels", "class", "classes", "target", "targets", "y", "category", "digit"),
)
_COUNTING: Final = ("", "index", "id")  # names of a column that only counts the rows
_MARKS: Final = (",", ";", "\t", "|")  # between values
_HEAD: Final = 2**16  # bytes at the start that tell encoding, mark and header


@dataclass(frozen=True)
class _Form:
    """How a CSV file is written."""

    encoding: str
    mark: str  # between values
    decimal: str
    named: bool  # whether its first line has the names of the columns


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
        alone = "" if part == TRAIN else f", or name {one_line(files[TRAIN])} alone"
        names, images, labels = _read(file, wanted, alone)
        if columns is not None and names != columns:
            raise DataError(
                f"{one_line(file)}: has other columns ({_some(names)}) than"
                f" {one_line(files[TRAIN])} ({_some(columns)})"
            )
        columns = names
        found[str(part)] = images, labels
    return of_raw_labels(found, path)


def _tables(path: Path) -> list[Path]:
    found = [*path.glob("*.csv"), *path.glob("*.csv.gz")]
    return [one for one in found if not one.is_dir()]


def is_one(path: Path) -> bool:
    """Return whether a folder holds CSV files."""
    return bool(_tables(path))


def _read(path: Path, wanted: Wanted, alone: str) -> tuple[list[str], UInt8Array, npt.NDArray[Any]]:
    """Return columns, images and labels; ``alone`` says what to do without labels."""
    where = one_line(path)
    table, named = _table(path, where)
    if named:
        table = _without_counts(table)
    names = [str(name) for name in table.columns]
    if table.empty:
        raise DataError(f"{where}: has names of columns, but no image; add a row for each image")
    label = _label_column(table, where, alone) if named else _text_column(table)
    label = label or 0  # without names and texts, the first column
    pixels = table.iloc[:, [column for column in range(len(names)) if column != label]]
    values = _numbers(pixels, where).to_numpy()
    shape = _shape(values.shape[1], wanted.channels, where)
    images = as_images(values.reshape(len(values), *shape), wanted, where)
    classes = table.iloc[:, label]
    if classes.isna().any():
        raise DataError(f"{where}: image {int(classes.isna().argmax()) + 1:,} has no label")
    labels = classes.to_numpy()
    if labels.dtype == object:
        labels = classes.astype(str).str.strip().to_numpy().astype(str)
    return names, images, as_labels(labels, len(images), f"{where}: label")


def _table(path: Path, where: str) -> tuple["pd.DataFrame", bool]:
    """Return a table without its empty rows, and whether its columns have names."""
    import pandas as pd

    try:
        check_table(path)
        form = _form(path)
        table = pd.read_csv(
            path,
            header=0 if form.named else None,
            sep=form.mark,
            decimal=form.decimal,
            encoding=form.encoding,
            skipinitialspace=True,
        )
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte {error.start:,} is not UTF-8; save the table as UTF-8"
        ) from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{where}: {unreadable.empty('a CSV table')}") from None
    except pd.errors.ParserError as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{where}: the rows of the table are not alike ({said}); correct that one, or save the"
            " table again"
        ) from None
    except (EOFError, OSError, ValueError, zlib.error) as error:
        if isinstance(error, OSError) and unreadable.is_refusal(error):
            raise DataError(f"{where}: {unreadable.refused(error)}") from None
        raise DataError(f"{where}: {unreadable.damaged('a CSV table', error)}") from None
    # NumPy writes a header as a comment; pandas calls a column without a name "Unnamed".
    names = [str(name).strip("# \t") for name in table.columns]
    table.columns = ["" if name.startswith("Unnamed: ") else name for name in names]
    return table.dropna(how="all"), form.named


def _form(path: Path) -> _Form:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as opened:
        head = opened.read(_HEAD)
    encoding = "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"  # Excel's "Unicode text"
    text = head.decode(encoding, errors="replace").lstrip("\r\n")
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    mark = max(_MARKS, key=lines[0].count)
    if mark not in lines[0]:
        mark = r"\s+"
    # Where a comma does not separate values, it is the decimal point of half of Europe.
    decimal = "," if mark != "," and any("," in line for line in lines[1:3]) else "."
    cells = next(csv.reader(lines[:1], delimiter=mark)) if len(mark) == 1 else lines[0].split()
    return _Form(encoding, mark, decimal, _is_header([cell.strip("# \t") for cell in cells]))


def _is_header(cells: Sequence[str]) -> bool:
    """Return whether the first line has names: not one image with the name of its class."""
    if any(cell.lower() in LABEL_COLUMNS for cell in cells):
        return True
    words = [place for place, cell in enumerate(cells) if not _is_number(cell)]
    if len(words) != 1 or words[0] not in (0, len(cells) - 1):
        return bool(words)
    numbers = [cell for cell in cells if _is_number(cell)]
    places = [[str(place + first) for place in range(len(numbers))] for first in (0, 1)]
    return numbers in places  # the places of the pixels


def _without_counts(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table without a first column that counts the rows, as pandas writes it."""
    if str(table.columns[0]).lower() in _COUNTING and table.iloc[:, 0].is_unique:
        return table.iloc[:, 1:]
    return table


def _label_column(table: "pd.DataFrame", where: str, alone: str) -> int:
    names = [str(name).lower() for name in table.columns]
    place = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
    place = _text_column(table) if place is None else place
    if place is None:
        raise DataError(
            f"{where}: has no column {', '.join(LABEL_COLUMNS[:-1])} or {LABEL_COLUMNS[-1]}; its"
            f" columns are {_some([str(name) for name in table.columns])}; rename the one with the"
            f" classes to label{alone}"
        )
    return place


def _text_column(table: "pd.DataFrame") -> int | None:
    """Return the place of the only column of texts; None: there are none or several."""
    import pandas as pd

    kinds = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    if kinds.count(False) != 1:
        return None
    place = kinds.index(False)
    # With one number in it, it is a column of pixels with a mistake.
    numbers = pd.to_numeric(table.iloc[:, place], errors="coerce").notna()
    return None if numbers.any() else place


def _numbers(pixels: "pd.DataFrame", where: str) -> "pd.DataFrame":
    import pandas as pd

    for place in range(pixels.shape[1]):
        column = pixels.iloc[:, place]
        if pd.api.types.is_numeric_dtype(column):
            continue
        bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
        row = int(bad.argmax())
        raise DataError(
            f"{where}: column {plain_text.one_line(str(pixels.columns[place]))!r} is not of"
            f" numbers: {plain_text.one_line(str(column.iloc[row]))[:40]!r} of image {row + 1:,};"
            " expected a label and the pixels of one image a row"
        )
    return pixels


def _shape(pixels: int, channels: int | None, where: str) -> tuple[int, ...]:
    """Return rows, columns, and 3 for colour, of the numbers of a row."""
    side = math.isqrt(pixels)
    if channels != 3 and side**2 == pixels and pixels:
        return side, side
    side = math.isqrt(pixels // 3)
    if 3 * side**2 == pixels and pixels:
        return side, side, 3
    raise DataError(
        f"{where}: has {counted(pixels, 'column')} beside the label, which make no square image of"
        " one or three channels; expected a label and rows x rows (x 3) pixels"
    )


def _some(names: Sequence[str]) -> str:
    some = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    return plain_text.one_line(f"{len(names):,}: {some}")


def _is_number(value: str) -> bool:
    try:
        float(value.replace(",", "."))
    except ValueError:
        return False
    return True
