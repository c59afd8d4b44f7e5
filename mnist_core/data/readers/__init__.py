"""Images of any origin, one file a format: a path becomes uint8 arrays, labels, class names."""

from collections.abc import Callable
from pathlib import Path

from mnist_core.data import file_kinds, unreadable
from mnist_core.data.idx import one_line
from mnist_core.data.readers import arrays, class_folders, csv_tables, folder, idx_files
from mnist_core.data.readers.parts import Parts, Progress, Wanted
from mnist_core.errors import DataError
from mnist_core.files import check_regular

Read = Callable[[Path, Wanted, Progress | None], Parts]


def reader_of(path: Path) -> Read:
    """Return what reads ``path``; raise ``DataError`` if nothing does."""
    if path.is_dir():
        return _of_folder(path)
    try:
        check_regular(path)  # to open a named pipe may take for ever
        with path.open("rb") as file:
            head = file.read(file_kinds.HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{one_line(path)}: {unreadable.refused(error)}") from None
    if path.suffix in arrays.READERS:
        return arrays.READERS[path.suffix]
    if path.name.endswith((".csv", ".csv.gz")):
        return csv_tables.read_csv
    if idx_files.is_idx(path):
        return idx_files.read
    words = file_kinds.describe(head)
    raise DataError(f"{one_line(path)}: {EXPECTED}" + (f"; it is {words}" if words else ""))


def _of_folder(path: Path) -> Read:
    for is_one, read in (
        (class_folders.is_one, folder.read),
        (idx_files.is_one, idx_files.read),
        (csv_tables.is_one, csv_tables.read_csv),
    ):
        if is_one(path):
            return read
    if arrays.npy_files(path):
        return arrays.read_npy
    holds = file_kinds.describe_folder(path) or "nothing"
    raise DataError(f"{one_line(path)}: {EXPECTED}; it is a folder that holds {holds}")


def format_of(path: Path) -> str:
    """Return the format of the images of ``path`` in words; raise ``DataError`` as reader_of."""
    return _FORMATS[reader_of(path)]


_FORMATS: dict[Read, str] = {
    folder.read: "pictures, a folder a class",
    idx_files.read: "IDX files",
    csv_tables.read_csv: "CSV",
    arrays.read_npz: "arrays (.npz)",
    arrays.read_npy: "arrays (.npy)",
    arrays.read_pt: "tensors (.pt)",
}

EXPECTED = "expected a folder of pictures with a folder a class, IDX files, .npz, .npy, .csv or .pt"
