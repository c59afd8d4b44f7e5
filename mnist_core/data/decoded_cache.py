"""The cache of own images: decoded once, then arrays on the disk.

It lies in the cache folder, ``decoded/<hash of the path and form>/<hash of all files>/``. The
second hash is of the names, sizes and times of the files: a changed file is decoded again.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mnist_core.data import download, readers, storage, unreadable
from mnist_core.data.idx import one_line
from mnist_core.data.readers import walk
from mnist_core.data.readers.parts import Labelled, Parts, Progress, Wanted
from mnist_core.errors import DataError

_VERSION: Final = 2  # of what decoding does; another one makes all caches stale
_ABOUT: Final = "about.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Own images as the reader found them."""

    parts: Mapping[str, Labelled]  # arrays mapped from the disk, if they are in the cache
    class_names: tuple[str, ...]
    sha256: Mapping[str, str]  # of each part: images and labels
    notes: tuple[str, ...]  # what a user may not expect, a line each
    folder: Path | None  # where it lies in the cache; None: the cache cannot be written

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names) or int(self.parts["train"].labels.max()) + 1


def decoded(
    path: Path,
    wanted: Wanted,
    name: str = "",
    read: readers.Read | None = None,
    progress: Progress | None = None,
) -> Decoded:
    """Return the images of ``path``, from the cache if they are there.

    ``name`` is that of a known data set, which ``read`` reads.

    Raises:
        DataError: if they cannot be read.
    """
    place = storage.cache_folder().absolute() / "decoded"
    form = json.dumps([_VERSION, str(path.absolute()), name, wanted.size, wanted.channels])
    outer = place / hashlib.sha256(form.encode()).hexdigest()[:16]
    entry = outer / _stamp(path)
    if (found := _load(entry)) is not None:
        return found
    try:
        with download.lock(outer):  # one process decodes, the others wait for it
            if (found := _load(entry)) is None:
                found = _store(_read(path, wanted, read, progress), entry)
    except download.CannotLock:
        _log.warning("the cache %s cannot be written: images are decoded each time", place)
        return _in_memory(_read(path, wanted, read, progress))
    return found


def _read(
    path: Path, wanted: Wanted, read: readers.Read | None, progress: Progress | None
) -> Parts:
    return (read or readers.reader_of(path))(path, wanted, progress)


def _stamp(path: Path) -> str:
    """Return a hash of the names, sizes and times of all files that images may come from."""
    try:
        if path.is_dir():
            lines = [_line(name, entry) for name, entry in walk.files(path)]
        elif path.suffix in (".npz", ".pt", ".csv"):
            lines = [_line(path.name, path)]
        else:  # the labels of an array or IDX file lie in another file beside it
            lines = [_line(each.name, each) for each in path.parent.iterdir() if each.is_file()]
    except OSError as error:
        where = one_line(Path(error.filename or path))
        raise DataError(f"{where}: {unreadable.refused(error)}") from None
    lines.sort()  # and hashed at once: line by line, 60,000 took as long as their stat calls
    whole = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.sha256(whole).hexdigest()[:32]


def _line(name: str, file: "Path | os.DirEntry[str]") -> str:
    try:
        found = file.stat()
    except OSError:
        return f"{name}\0absent"  # a link to nothing; if it is a picture, the reader names it
    return f"{name}\0{found.st_size}\0{found.st_mtime_ns}"


def _load(entry: Path) -> Decoded | None:
    """Read an entry; None: it is not there, or damaged."""
    try:
        about: dict[str, Any] = json.loads((entry / _ABOUT).read_text(encoding="utf-8"))
        parts = {
            part: Labelled(
                np.load(entry / f"{part}.npy", mmap_mode="r", allow_pickle=False),
                np.load(entry / f"{part}-labels.npy", allow_pickle=False),
            )
            for part in about["sha256"]
        }
        names, notes = (tuple(map(str, about[name])) for name in ("class_names", "notes"))
        return Decoded(parts, names, dict(about["sha256"]), notes, entry)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _store(parts: Parts, entry: Path) -> Decoded:
    """Write an entry, whole or not at all, in place of older ones of the same path."""
    found = _in_memory(parts)
    about = {
        "sha256": dict(found.sha256),
        "class_names": list(found.class_names),
        "notes": list(found.notes),
    }
    try:
        draft = Path(tempfile.mkdtemp(dir=entry.parent, prefix=".decoding-"))
    except OSError as error:
        raise DataError(f"{one_line(entry.parent)}: cannot be written: {error.strerror}") from None
    try:
        for part, of in parts.of.items():
            np.save(draft / f"{part}.npy", of.images)
            np.save(draft / f"{part}-labels.npy", of.labels)
        (draft / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        for old in entry.parent.iterdir():
            if old.is_dir() and old not in (draft, entry):
                shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(entry, ignore_errors=True)
        draft.rename(entry)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        _log.warning("the decoded images cannot be kept: %s", error)
        return found
    return _load(entry) or found


def _in_memory(parts: Parts) -> Decoded:
    hashes = {part: _sha256(of) for part, of in parts.of.items()}
    return Decoded(parts.of, parts.class_names, hashes, parts.notes, None)


def _sha256(of: Labelled) -> str:
    digest = hashlib.sha256(json.dumps([*of.images.shape]).encode())
    digest.update(np.ascontiguousarray(of.images).data)
    digest.update(of.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def remember(found: Decoded, name: str, values: Mapping[str, Any]) -> None:
    """Keep JSON values beside an entry, if it is in the cache."""
    if found.folder is not None:
        with contextlib.suppress(OSError):
            (found.folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")


def remembered(found: Decoded, name: str) -> dict[str, Any] | None:
    """Return what ``remember`` kept; None: nothing."""
    if found.folder is None:
        return None
    try:
        kept = json.loads((found.folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None
