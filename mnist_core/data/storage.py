"""Where the files of a data set lie, and whether they are the right ones.

Embedded files lie in this package; others in ``data.root`` if given, else in the cache folder
(``$MNIST_STUDIES_CACHE`` or the platform's), one folder a data set.
"""

import functools
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import platformdirs

from mnist_core.data import file_kinds, idx
from mnist_core.data.registry import DATA_SETS, FOLDER, DataFile, DataSet
from mnist_core.errors import DataError, UserError
from mnist_core.files import check_regular, write_atomically

CACHE_VARIABLE: Final = "MNIST_STUDIES_CACHE"
EMBEDDED: Final = Path(__file__).parent / "embedded"
SUMS: Final = "SHA256SUMS"

_EMBEDDED_NAME: Final = "mnist-10pct"
_SUM_LINE: Final = re.compile(r"([0-9a-f]{64}) [ *](\S+)")


def cache_folder() -> Path:
    """Return the folder that holds downloaded data sets; it need not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("mnist-studies", appauthor=False)


def folder_of(data_set: DataSet, root: str | Path = "") -> Path:
    """Return where the files of a data set belong; raise DataError for ``folder`` without root."""
    if root:
        return Path(root).expanduser().absolute()
    if data_set.name == _EMBEDDED_NAME:
        return EMBEDDED
    if data_set.name == FOLDER:
        raise DataError(f"data set {FOLDER!r} needs data.root, the folder with the IDX files")
    return cache_folder().absolute() / data_set.name


def is_cache(data_set: DataSet, folder: Path) -> bool:
    """Return whether ``folder`` is this data set's own in the cache, where hashes are recorded."""
    return folder == cache_folder().absolute() / data_set.name


def find(file: DataFile, folder: Path) -> Path | None:
    """Return the path of ``file`` in ``folder`` in whatever variant it is there, else None."""
    return next((path for name in file.variants if (path := folder / name).is_file()), None)


def missing(data_set: DataSet, folder: Path) -> list[DataFile]:
    """Return the files of ``data_set`` that are not in ``folder``."""
    return [file for file in data_set.files if find(file, folder) is None]


def read_verified(data_set: DataSet, file: DataFile, folder: Path) -> idx.Raw:
    """Read one file, check its structure and, where a hash is known, its content.

    Raises:
        DataError: if it is missing, damaged, a known file of another data set, or its hash is not
            the known or recorded one.
    """
    path = find(file, folder)
    if path is None:
        raise DataError(holds_none(data_set, file, folder))
    images = file in (data_set.train_images, data_set.test_images, *data_set.confirm[:1])
    raw = idx.read_raw(path, *((idx.IMAGES,) if images else (idx.LABELS, idx.LABEL_TABLE)))
    wanted, origin = known_hash(file, folder)
    came = raw.sha256()
    owner, name = _owner(came, None if wanted else path)
    hint = f"; this is {name} of {owner!r}" if owner else ""
    others = owner not in ("", data_set.name) and data_set.name != FOLDER
    if others:
        hint = f'; this is a file of {owner!r}: set data.name = "{owner}"'
    # Data sets share the names of their files, and a hash may be recorded from the wrong ones.
    if others or (wanted and came != wanted):
        expected = f"sha256 {wanted} of {data_set.name} ({origin})" if wanted else data_set.name
        raise DataError(f"{idx.one_line(path)}: expected {expected}, but got {came}{hint}")
    return raw


def holds_none(data_set: DataSet, file: DataFile, folder: Path) -> str:
    """Return a line that says that ``file`` is not in ``folder``."""
    instead = file_kinds.describe_folder(folder)
    said = f"; it holds {idx.one_line(Path(instead))}: {file_kinds.READ}" if instead else ""
    return (
        f"{idx.one_line(folder)}: holds no {file.name} (or {', '.join(file.variants[1:])})"
        f" of {data_set.name}{said}"
    )


def known_hash(file: DataFile, folder: Path) -> tuple[str, str]:
    """Return the raw hash that ``file`` must have in ``folder``, and its source; else twice ""."""
    if file.sha256:
        return file.sha256, "published"
    recorded = recorded_sums(folder).get(file.name, "")
    return (recorded, f"recorded in {SUMS}") if recorded else ("", "")


def vouched(file: DataFile, raw: idx.Raw, folder: Path) -> str:
    """Return the source that vouches for ``raw`` as the published ``file``; empty: none."""
    known = known_hash(file, folder)[1]
    return known or ("published .gz" if _is_published_gz(file, raw.path) else "")


def recorded_sums(folder: Path) -> dict[str, str]:
    """Return file name to raw hash of ``SHA256SUMS``; raise ``DataError`` if it cannot be read."""
    path = folder / SUMS
    if not path.exists():
        return {}
    try:
        check_regular(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{idx.one_line(path)}: cannot be read: {error}") from None
    matches = (_SUM_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[2]: match[1] for match in matches if match}


def record_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write raw hashes to ``SHA256SUMS``; raise ``DataError`` if it cannot be written."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    try:
        write_atomically(folder / SUMS, text)
    except UserError as error:
        raise DataError(str(error)) from None


def _owner(sha256: str, path: Path | None) -> tuple[str, str]:
    """Return the names of the known data set and of its file that this is; twice "": none.

    ``path`` may be a published ``.gz``, for the sets whose raw hashes are not known.
    """
    for data_set in DATA_SETS.values():
        for file in (*data_set.files, *data_set.confirm):
            if file.sha256 == sha256 or (path is not None and _is_published_gz(file, path)):
                return data_set.name, file.name
    return "", ""


def _is_published_gz(file: DataFile, path: Path) -> bool:
    if not file.gz_digest or path.suffix != ".gz":
        return False
    algorithm, _, wanted = file.gz_digest.partition(":")
    try:
        return _digest(path, algorithm, path.stat().st_mtime_ns) == wanted
    except OSError:
        return False


@functools.lru_cache(maxsize=64)
def _digest(path: Path, algorithm: str, changed: int) -> str:
    """Return the hash of a file that was last written at ``changed``."""
    return hashlib.new(algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()
