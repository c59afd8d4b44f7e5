"""The pictures of a folder by part and class, found by their names before any is opened."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mnist_core.console import plain_text
from mnist_core.console.plain_text import are, counted
from mnist_core.data import file_kinds, unreadable
from mnist_core.data.idx import one_line
from mnist_core.data.readers import walk
from mnist_core.data.readers.parts import TRAIN, check_count, natural, other_classes, part_named
from mnist_core.errors import DataError

_READ: Final = " ".join(file_kinds.PICTURES)


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder."""

    files: dict[str, list[Path]]  # by part
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]  # empty: they are the numbers from 0 on
    notes: tuple[str, ...]  # what is left out, a line each

    @property
    def total(self) -> int:
        """The number of pictures."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True)
class _Folder:
    """What one folder of a class, and the folders in it, hold."""

    path: Path
    pictures: list[Path] = field(default_factory=list)  # in the order of their names
    others: list[Path] = field(default_factory=list)  # files of other kinds

    @property
    def inner(self) -> list[str]:
        """The names of the folders in it that hold pictures, if none lies beside them."""
        depth = len(self.path.parts)
        if any(len(picture.parts) == depth + 1 for picture in self.pictures):
            return []
        return sorted({picture.parts[depth] for picture in self.pictures}, key=natural)


def is_one(path: Path) -> bool:
    """Return whether a folder holds folders with pictures."""
    return any(part_named(inner.name) or _folder(inner).pictures for inner in _folders(path))


def listing(path: Path) -> Listing:
    """List the pictures of a folder.

    Raises:
        DataError: if it has no classes, too few or too many, one without a picture, a part has
            other classes than ``train``, or a folder that looks like a class lies beside it.
    """
    parts, beside = _parts(path)
    files: dict[str, list[Path]] = {}
    labels: dict[str, list[int]] = {}
    names: list[str] = []
    notes = _left_beside(path, parts[TRAIN], beside)
    notes += [] if path in parts.values() else _loose(path)
    found: list[_Folder] = []
    for part, folder in sorted(parts.items(), key=lambda entry: entry[0] != TRAIN):
        classes = [_folder(inner) for inner in _folders(folder)]
        if part == TRAIN:
            names = [inner.path.name for inner in classes]
            _check_classes(folder, classes)
        files[part], labels[part] = [], []
        for inner in classes:
            _check_class(path, part, inner, names)
            files[part] += inner.pictures
            if inner.pictures:
                labels[part] += [names.index(inner.path.name)] * len(inner.pictures)
        found += classes
        notes += _loose(folder)
        if not files[part]:
            del files[part], labels[part]
    notes += _taken_as_one(path, found)
    notes += _not_read(path, [file for folder in found for file in folder.others])
    plain = names == [str(number) for number in range(len(names))]
    return Listing(files, labels, () if plain else tuple(names), tuple(notes))


def _parts(path: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the folder of each part, and the folders beside them that are of no part."""
    folders = _folders(path)
    named = [(part_named(folder.name), folder) for folder in folders]
    parts = {part: folder for part, folder in named if part is not None}
    beside = [folder for part, folder in named if part is None]
    if parts and TRAIN not in parts and not beside and any(map(_folders, parts.values())):
        some = next(iter(parts.values())).name
        raise DataError(f"{one_line(path)}: has a folder {some}, but none called train")
    # A folder of one class may be called train, too: then pictures lie in it, and no folders.
    if TRAIN not in parts or not _folders(parts[TRAIN]):
        return {TRAIN: path}, []
    for part, folder in named:
        if part is not None and parts[part] != folder:
            raise DataError(
                f"{one_line(path)}: {folder.name} and {parts[part].name} are both folders of {part}"
                " pictures; keep one"
            )
    return parts, beside


def _check_classes(folder: Path, classes: Sequence[_Folder]) -> None:
    if not classes:
        more = "; its pictures lie in no folder of a class" if any(_loose(folder)) else ""
        raise DataError(
            f"{one_line(folder)}: holds no folders of classes, as cats/ and dogs/{more}"
        )
    if len(classes) == 1 and len(classes[0].inner) > 1:
        raise DataError(
            f"{one_line(folder)}: holds one folder only, which holds others; did you mean"
            f" {one_line(classes[0].path)}?"
        )
    check_count(len(classes), folder)


def _check_class(path: Path, part: str, folder: _Folder, names: Sequence[str]) -> None:
    if folder.pictures and folder.path.name not in names:
        raise DataError(other_classes(path, part, folder.path.name))
    if part == TRAIN and not folder.pictures:
        raise DataError(
            f"{one_line(folder.path)}: class {folder.path.name!r} has no picture ({_READ}); add"
            " some, or remove the folder"
        )


def _left_beside(path: Path, train: Path, beside: Sequence[Path]) -> list[str]:
    """Return a note if folders of pictures are of no part; refuse one that looks like a class."""
    left = [folder for folder in map(_folder, beside) if folder.pictures]
    for folder in left:
        name = plain_text.one_line(folder.path.name)
        if not folder.inner:
            raise DataError(
                f"{one_line(path)}: {name}/ lies beside {train.name}/ and would be left out with"
                f" its {counted(len(folder.pictures), 'picture')}; move it into {train.name}/ if it"
                f" is a class, else out of the folder, or rename it to .{name}"
            )
    if not left:
        return []
    n = sum(len(folder.pictures) for folder in left)
    return [
        f"{one_line(path)}: {counted(n, 'picture')} {are(n)} left out, as"
        f" {_some([f'{folder.path.name}/' for folder in left])} {are(len(left))} beside"
        f" {train.name}/"
    ]


def _taken_as_one(path: Path, folders: Sequence[_Folder]) -> list[str]:
    """Return a note if folders in the folder of a class are read as that one class."""
    nested = [folder for folder in folders if len(folder.inner) > 1]
    if not nested:
        return []
    first, n = nested[0], len({folder.path.name for folder in nested})
    one = plain_text.one_line(first.path.name)
    return [
        f"{one_line(path)}: the folders in {one}/ ({_some(first.inner)}) are read as one class,"
        f" {one}" + (f"; so are those of {n - 1:,} more" if n > 1 else "")
    ]


def _loose(folder: Path) -> list[str]:
    """Return a note if pictures lie in a folder of classes, and in none of them."""
    names = sorted(
        each.name
        for each in folder.iterdir()
        if walk.is_shown(each.name) and _is_picture(each.name) and not each.is_dir()
    )
    if not names:
        return []
    n = len(names)
    return [
        f"{one_line(folder)}: {counted(n, 'picture')} {are(n)} left out, as"
        f" {'it lies' if n == 1 else 'they lie'} in no folder of a class, e.g."
        f" {plain_text.one_line(names[0])}"
    ]


def _not_read(path: Path, others: Sequence[Path]) -> list[str]:
    if not others:
        return []
    ends = Counter(file.suffix.lower() or "no ending" for file in others).most_common()
    n = len(others)
    return [
        f"{one_line(path)}: {counted(n, 'file')} {are(n)} left out:"
        f" {_some([f'{end} ({k:,})' for end, k in ends])}, e.g."
        f" {one_line(min(others).relative_to(path))}; read are {_READ}"
    ]


def _some(names: Sequence[str]) -> str:
    return plain_text.one_line(", ".join(names[:3]) + (" …" if len(names) > 3 else ""))


def _folders(path: Path) -> list[Path]:
    try:
        entries = [each for each in path.iterdir() if walk.is_shown(each.name) and each.is_dir()]
    except OSError as error:
        raise DataError(f"{one_line(path)}: {unreadable.refused(error)}") from None
    return sorted(entries, key=lambda entry: natural(entry.name))


def _folder(path: Path) -> _Folder:
    found = _Folder(path)
    try:
        for name, _ in walk.files(path):
            (found.pictures if _is_picture(name) else found.others).append(path / name)
    except OSError as error:
        where = error.filename or path
        raise DataError(f"{one_line(Path(where))}: {unreadable.refused(error)}") from None
    found.pictures.sort()
    return found


def _is_picture(name: str) -> bool:
    return name.lower().endswith(file_kinds.PICTURES)
