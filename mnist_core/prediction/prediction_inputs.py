"""The images that a user names for a prediction: pictures, folders of them, IDX files. No torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mnist_core.data import idx
from mnist_core.data.readers import pictures
from mnist_core.data.registry import DATA_SETS
from mnist_core.errors import DataError
from mnist_core.images import MNIST, Images
from mnist_core.prediction import digit_images

UNKNOWN = -1  # as the label of an image whose class is not known

_IDX = b"\x00\x00\x08"
_GZIP = b"\x1f\x8b"


@dataclass(kw_only=True)
class Inputs:
    """Images with their names."""

    # uint8 in the form of the model's images (of an IDX file perhaps another size)
    images: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    # the place in an IDX file; None: the file is a picture
    indices: list[int | None] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)  # the class, or ``UNKNOWN``
    notes: list[str] = field(default_factory=list)
    # a line on each input that needs one, e.g. where the classes come from.
    remarks: list[str] = field(default_factory=list)
    # a line on each picture of a folder that cannot be used
    problems: list[str] = field(default_factory=list)
    # of the raw content of each IDX file by name
    sha256: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pictures(self) -> bool:
        """Whether there are any pictures, or only IDX files."""
        return None in self.indices or bool(self.problems)


@dataclass(frozen=True)
class _Form:
    """How a picture becomes an image of the model."""

    n_classes: int
    about: Images
    invert: bool | None
    raw: bool

    def read(self, path: Path) -> tuple[npt.NDArray[np.uint8], str]:
        """Return the image and a note on it."""
        if self.about != MNIST:
            # Scaled and cut as the training images were: more than --raw says is not done.
            image = pictures.decode_as(path, self.about)
            return (255 - image, "inverted") if self.invert else (image, "")
        digit = digit_images.read(path, invert=self.invert, raw=self.raw)
        return digit.image, digit.note


def gather(
    paths: Sequence[Path],
    *,
    n_classes: int,
    about: Images = MNIST,
    invert: bool | None = None,
    raw: bool = False,
) -> Inputs:
    """Read IDX files, pictures, and folders of pictures with all their folders.

    A picture of a folder that cannot be read becomes a line of ``problems``; one that is named
    itself is an error. ``invert`` and ``raw`` are those of ``digit_images.read``, which brings
    pictures to MNIST's form. Models of other images (``about``) get pictures scaled and cut to
    their size, as their training images were, with or without ``raw``; negative if ``invert``.

    Raises:
        DataError: if a file cannot be used, a folder has no picture, or the sizes of images differ.
    """
    found, form = Inputs(), _Form(n_classes, about, invert, raw)
    for path in paths:
        if _is_folder(path):
            _add_folder(found, path, form)
        elif _is_pipe(path):
            raise DataError(f"{idx.one_line(path)}: is a pipe or a device; name a file")
        elif _is_idx(path):
            _add_idx(found, path, n_classes)
        else:
            _add_picture(found, path, UNKNOWN, form)
    if not found and found.problems:
        raise DataError(f"no picture can be used; the first: {found.problems[0]}")
    if len({image.shape for image in found.images}) > 1:
        sizes = sorted({"x".join(map(str, image.shape)) for image in found.images})
        raise DataError(f"the images are of several sizes: {', '.join(sizes)}")
    return found


def labels_beside(path: Path) -> Path | None:
    """Return the labels file that belongs to an IDX file of images by its name, if it is there."""
    # E.g. t10k-labels-idx1-ubyte.gz beside t10k-images-idx3-ubyte.
    for data_set in DATA_SETS.values():
        for images, labels in (
            (data_set.train_images, data_set.train_labels),
            (data_set.test_images, data_set.test_labels),
        ):
            if path.name in images.variants:
                places = (path.with_name(name) for name in labels.variants)
                known = next((place for place in places if place.is_file()), None)
                if known:
                    return known
    stem = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for name in (stem, f"{stem}.gz"):
        beside = path.with_name(name)
        if stem != path.name.removesuffix(".gz") and beside.is_file():
            return beside
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no possible name: too long, a NUL
        return False


def _is_pipe(path: Path) -> bool:
    """Return whether the path exists but is not a file, so that reading may block."""
    try:
        return path.exists() and not path.is_file()
    except (OSError, ValueError):
        return False


def _is_idx(path: Path) -> bool:
    """Return whether the file begins as an IDX file, plain or compressed; no picture does."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_IDX))
    except (OSError, ValueError):  # reading it as a picture says why
        return False
    return start == _IDX or start.startswith(_GZIP)


def _add_picture(found: Inputs, path: Path, label: int, form: _Form) -> None:
    image, note = form.read(path)
    found.images.append(image)
    found.names.append(str(path))
    found.indices.append(None)
    found.labels.append(label)
    found.notes.append(note)


def _add_folder(found: Inputs, folder: Path, form: _Form) -> None:
    try:
        everything = [
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in digit_images.SUFFIXES and path.is_file()
        ]
    except OSError as error:
        raise DataError(
            f"{idx.one_line(folder)}: cannot be read: {error.strerror or error}"
        ) from None
    shown = [path for path in everything if not _hidden(path, folder)]
    if len(shown) < len(everything):
        left = {_hidden(path, folder) for path in everything} - {""}
        hidden = len(everything) - len(shown)
        found.remarks.append(
            f"{idx.one_line(folder)}: left out: {hidden:,} hidden picture{'s' * (hidden != 1)}"
            f" ({_listed(left)})"
        )
    if not shown:
        raise DataError(
            f"{idx.one_line(folder)}: holds no picture ({' '.join(digit_images.SUFFIXES)}); IDX"
            " files are named one by one"
        )
    shown.sort(key=lambda path: _natural(str(path.relative_to(folder))))
    classes = [_class_of(path, folder, form) for path in shown]
    # Folders may have numbers for other reasons; so only where all pictures lie in such.
    known = UNKNOWN not in classes
    if known:
        found.remarks.append(
            f"{idx.one_line(folder)}: the names of its folders are taken for the true classes"
        )
    elif set(classes) != {UNKNOWN}:
        others = {
            str(path.parent.relative_to(folder))
            for path, label in zip(shown, classes, strict=True)
            if label == UNKNOWN
        }
        found.remarks.append(
            f"{idx.one_line(folder)}: the names of its folders are not taken for classes, so there"
            f" is not an accuracy: pictures also lie in {_listed(others)}, which names no class of"
            f" {_valid(form)}; name the folders of classes only"
        )
    for path, label in zip(shown, classes, strict=True):
        try:
            _add_picture(found, path, label if known else UNKNOWN, form)
        except DataError as error:
            found.problems.append(str(error))


def _hidden(path: Path, folder: Path) -> str:
    """Return the hidden part of a path within ``folder``; "" if none is."""
    # Notebooks, desktops and archives leave copies of pictures in such folders.
    parts = path.relative_to(folder).parts
    return next((part for part in parts if part.startswith((".", "__MACOSX"))), "")


def _listed(names: set[str]) -> str:
    first = [idx.one_line(Path(name)) for name in sorted(names)[:3]]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _valid(form: _Form) -> str:
    names = form.about.class_names
    return ", ".join(names[:5]) + " …" * (len(names) > 5) if names else f"0..{form.n_classes - 1}"


def _class_of(path: Path, folder: Path, form: _Form) -> int:
    parts = path.relative_to(folder).parts
    names = form.about.class_names
    if len(parts) == 2 and parts[0] in names:
        return names.index(parts[0])
    if names:
        return UNKNOWN
    if len(parts) == 2 and re.fullmatch(r"[0-9]{1,3}", parts[0]) and int(parts[0]) < form.n_classes:
        return int(parts[0])
    return UNKNOWN


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if i % 2 else (1, 0, p.lower()) for i, p in enumerate(parts)]


def _add_idx(found: Inputs, path: Path, n_classes: int) -> None:
    raw = idx.read_raw(path, idx.IMAGES)
    if not raw.shape[0]:
        raise DataError(f"{idx.one_line(path)}: byte 4: expected images, but got none")
    found.sha256[str(path)] = raw.sha256()
    images = raw.images()
    beside = labels_beside(path)
    labels = [UNKNOWN] * len(images)
    if beside:
        classes = idx.read_raw(beside, idx.LABELS, idx.LABEL_TABLE)
        idx.check_pair(raw, classes)
        labels = classes.labels(n_classes).tolist()
        found.remarks.append(f"{idx.one_line(path)}: its labels are in {beside.name}")
    found.images.extend(images)
    found.names.extend([str(path)] * len(images))
    found.indices.extend(range(len(images)))
    found.labels.extend(labels)
    found.notes.extend([""] * len(images))
