"""Images as arrays or tensors: ``.npz``, pairs of ``.npy``, ``.pt``. No pickle is ever read."""

import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from mnist_core.data import unreadable
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers import memory
from mnist_core.data.readers.parts import (
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    Parts,
    Progress,
    Wanted,
    check_sides,
    of_raw_labels,
)
from mnist_core.data.readers.scaling import scaled
from mnist_core.errors import DataError

IMAGES: Final = ("images", "image", "x", "data", "pixels")
LABELS: Final = ("labels", "label", "y", "targets", "target", "classes")
NAMES: Final = ("class_names", "label_names", "names")

_DAMAGE: Final = (
    *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error),
    # A zip archive with a password, or of another compression; a header, which is Python's text.
    *(RuntimeError, NotImplementedError, SyntaxError, tokenize.TokenError, TypeError),
)
"""What NumPy and zipfile raise where a file is damaged."""
_CHUNK: Final = 1024  # images that are rounded at a time, as floats are eight times as large

Array = npt.NDArray[Any]
Found = TypeVar("Found")


def read_npz(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Read an ``.npz`` with arrays such as ``x_train`` and ``y_train``; raise DataError if not."""
    del progress
    try:
        memory.check_npz(path, wanted)
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _DAMAGE as error:
        raise DataError(_unreadable(path, error)) from None
    return of_arrays(arrays, wanted, path)


def read_npy(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Read pairs of ``.npy``, of a folder or the pair of one file; raise DataError if not."""
    del progress
    files = npy_files(path) if path.is_dir() else _pair(path)
    headers, arrays = [_of_file(file, memory.npy_header) for file in files], {}
    memory.check_arrays(headers, wanted, path)
    for file in files:
        arrays[file.stem] = _of_file(file, partial(np.load, allow_pickle=False))
    return of_arrays(arrays, wanted, path)


def _of_file(path: Path, read: Callable[[Path], Found]) -> Found:
    try:
        return read(path)
    except _DAMAGE as error:
        raise DataError(_unreadable(path, error)) from None


def read_pt(path: Path, wanted: Wanted, progress: Progress | None = None) -> Parts:
    """Read tensors of ``torch.save``: a dict of them, or images and labels."""
    del progress
    import torch

    found = _loaded(path)
    if isinstance(found, list | tuple) and len(found) == 2:
        found = {"images": found[0], "labels": found[1]}
    if not isinstance(found, Mapping):
        raise DataError(
            f"{one_line(path)}: holds a {type(found).__name__}, but must hold a dict of tensors,"
            " such as {'images': …, 'labels': …}; save that"
        )
    tensors = {
        str(name): _as_array(value, f"{one_line(path)}: {name}")
        for name, value in found.items()
        if isinstance(value, torch.Tensor | list | tuple)
    }
    return of_arrays(tensors, wanted, path)


def _loaded(path: Path) -> Any:
    """Return what ``torch.save`` has written; DataError: it cannot be read without running code."""
    import pickle

    import torch

    try:
        memory.check_tensors(path)
        with path.open("rb") as opened:
            head = opened.read(2)
        with warnings.catch_warnings():
            # torch warns of another pickle protocol, and then refuses the file in most cases.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    # A file that is not a pickle raises whatever its first bytes happen to mean.
    except (
        *(OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError),
        *(LookupError, TypeError, AttributeError),
    ) as error:
        if isinstance(error, OSError) and unreadable.is_refusal(error):
            raise DataError(f"{one_line(path)}: {unreadable.refused(error)}") from None
        if not head:
            raise DataError(f"{one_line(path)}: {unreadable.empty('tensors')}") from None
        # torch writes a zip archive, and refuses what is in a whole one with UnpicklingError.
        if head == b"PK" and not isinstance(error, pickle.UnpicklingError):
            said = ValueError(str(error).partition(". ")[0])
            raise DataError(f"{one_line(path)}: {unreadable.damaged('tensors', said)}") from None
        raise DataError(
            f"{one_line(path)}: cannot be read as tensors; save a dict of tensors only, such as"
            " {'images': …, 'labels': …}: other objects would run code"
        ) from None


def _as_array(value: Any, where: str) -> Array:
    """Return a tensor or list as an array; DataError: NumPy has none of its kind."""
    import torch

    try:
        return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        kind = f"{value.layout} of {value.dtype}" if isinstance(value, torch.Tensor) else "a list"
        raise DataError(
            f"{where}: is {kind} that cannot become an array; save a dense tensor of uint8,"
            " float32 or int64"
        ) from None


def of_arrays(arrays: Mapping[str, Array], wanted: Wanted, path: Path) -> Parts:
    """Find images and labels of each part among ``arrays`` by their names.

    Raises:
        DataError: if they are not there, or their shapes or values are not those of images.
    """
    found: dict[str, tuple[UInt8Array, Array]] = {}
    for part in (TRAIN, VALIDATION, TEST):
        images, labels = _named(arrays, IMAGES, part), _named(arrays, LABELS, part)
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            lacking = "images" if images is None else "labels"
            raise DataError(f"{one_line(path)}: holds no {lacking} for {part}; {_holds(arrays)}")
        pixels = as_images(arrays[images], wanted, f"{one_line(path)}: {images}")
        found[part] = pixels, as_labels(arrays[labels], len(pixels), f"{one_line(path)}: {labels}")
    if TRAIN not in found:
        raise DataError(f"{one_line(path)}: holds no images and labels; {_holds(arrays)}")
    shapes = {images.shape[1:] for images, _ in found.values()}
    if len(shapes) > 1:
        listed = " and ".join(sorted("x".join(map(str, shape)) for shape in shapes))
        raise DataError(f"{one_line(path)}: the parts are of several shapes: {listed}")
    names = next((arrays[name] for name in NAMES if name in arrays), np.array([]))
    return of_raw_labels(found, path, [str(name) for name in names.tolist()])


def as_images(values: Array, wanted: Wanted, where: str) -> UInt8Array:
    """Return values as uint8 images, grey ``[N, rows, columns]`` or ``[N, rows, columns, 3]``."""
    if values.ndim == 4 and values.shape[3] not in (1, 3) and values.shape[1] in (1, 3):
        values = values.transpose(0, 2, 3, 1)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if not (values.ndim == 3 or (values.ndim == 4 and values.shape[3] == 3)) or not len(values):
        raise DataError(
            f"{where}: expected images [N, rows, columns], [N, rows, columns, 3] or [N, 3, rows,"
            f" columns], but got {list(values.shape)}"
        )
    if not wanted.size:
        check_sides(values.shape[1], values.shape[2], where)
    return scaled(_bytes(values, where), wanted)


def as_labels(values: Array, n: int, where: str) -> Array:
    """Return labels ``[N]``, whole numbers or texts; raise DataError if they are not."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise DataError(
            f"{where}: expected {n:,} labels, a label an image, but got {list(values.shape)}"
        )
    if np.issubdtype(values.dtype, np.floating) and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if not (np.issubdtype(values.dtype, np.integer) or values.dtype.kind in "US"):
        raise DataError(f"{where}: expected whole numbers or names, but got {values.dtype}")
    return values


def _bytes(values: Array, where: str) -> UInt8Array:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise DataError(f"{where}: expected numbers, but got {values.dtype}")
    if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
        place = int(np.argwhere(np.isnan(values))[0][0])
        raise DataError(f"{where}: image {place + 1:,} has a pixel that is missing or not a number")
    low, high = float(values.min()), float(values.max())
    unit = np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1
    if not (low >= 0 and high <= 255):
        raise DataError(
            f"{where}: expected pixels of 0 to 255, or of 0 to 1, but got {low:g} to {high:g}; undo"
            " the normalisation: images are normalised here"
        )
    whole = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _CHUNK):
        some = values[start : start + _CHUNK]
        whole[start : start + _CHUNK] = np.rint(some * 255 if unit else some)
    return whole


def _named(arrays: Mapping[str, Array], kinds: Sequence[str], part: str) -> str | None:
    """Return the name of the array of a kind and part: ``x_train``, ``train_images``, ``X``."""
    for name in arrays:
        words = re.split(r"[^a-z0-9]+", name.lower())
        parts = [word for word in words if any(word in names for names in PARTS.values())]
        is_part = any(word in PARTS[part] for word in parts) or (part == TRAIN and not parts)
        if is_part and any(kind in words for kind in kinds):
            return name
    return None


def npy_files(folder: Path) -> list[Path]:
    """Return the ``.npy`` files of a folder."""
    return sorted(one for one in folder.glob("*.npy") if not one.is_dir())


def _pair(path: Path) -> list[Path]:
    """Return the file of images and the one of their labels beside it."""
    for images in IMAGES:
        for labels in LABELS:
            stem = re.sub(rf"(?<![a-z]){images}(?![a-z])", labels, path.stem, flags=re.IGNORECASE)
            beside = path.with_name(f"{stem}.npy")
            if stem != path.stem and beside.is_file():
                return [path, beside]
    raise DataError(
        f"{one_line(path)}: the labels are not beside it, e.g. images.npy and labels.npy"
    )


def _holds(arrays: Mapping[str, Array]) -> str:
    return f"it holds {', '.join(arrays) or 'nothing'}; name them images and labels, or x_train …"


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and unreadable.is_refusal(error):
        return f"{one_line(path)}: {unreadable.refused(error)}"
    head = _head(path)
    if not head:
        return f"{one_line(path)}: {unreadable.empty('NumPy arrays')}"
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY")):
        return f"{one_line(path)}: is not a file of NumPy, whatever its name says"
    if "allow_pickle" in str(error) or "Object arrays" in str(error):
        return (
            f"{one_line(path)}: holds pickled objects, which would run code; save plain arrays of"
            " numbers (np.savez of uint8)"
        )
    return f"{one_line(path)}: {unreadable.damaged('NumPy arrays', error)}"


def _head(path: Path) -> bytes:
    # NumPy takes a file that is none for a pickle, and would say so.
    with path.open("rb") as file:
        return file.read(6)


READERS: Final[Mapping[str, Callable[..., Parts]]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".pt": read_pt,
}
"""By the end of a file's name."""
