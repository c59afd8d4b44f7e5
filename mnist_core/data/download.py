"""Bring the files of a data set into the cache folder: from mirrors, verified, one at a time."""

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mnist_core.data import idx, storage
from mnist_core.data.fetch import Progress, fetch
from mnist_core.data.registry import DataFile, DataSet
from mnist_core.errors import DataError


def download(
    data_set: DataSet,
    folder: Path,
    *,
    replace: bool = False,
    timeout: float = 10.0,
    progress: Progress | None = None,
) -> list[str]:
    """Fetch the files that ``folder`` lacks, verify the others, and record all raw hashes there.

    Several processes may do so at once: one works, the others wait and find the files.

    Args:
        replace: fetch damaged files again; else they are an error, since in a folder that is not
            our cache they may belong to another data set.
        timeout: seconds without an answer after which a mirror is given up.

    Returns:
        Names of the files that were fetched.

    Raises:
        DataError: if no mirror gave a file (says which files to put where by hand), or a file that
            is there is damaged and not to be replaced.
    """
    fetched = []
    with _lock(folder):
        for file in data_set.files:
            if not _is_good(data_set, file, folder, replace):
                _fetch(data_set, file, folder, timeout, progress)
                fetched.append(file.name)
        if (fetched and replace) or not (folder / storage.SUMS).exists():
            paths = (storage.find(file, folder) for file in data_set.files)
            sums = {
                file.name: idx.read_raw(path).sha256()
                for file, path in zip(data_set.files, paths, strict=True)
                if path
            }
            storage.record_sums(folder, sums)
    return fetched


def check(file: DataFile, path: Path) -> None:
    """Check that ``path`` holds the published ``file``, by the best hash that is known.

    Raises:
        DataError: if it is damaged, or not what was published.
    """
    came = idx.read_raw(path).sha256()
    if file.sha256:
        wanted = file.sha256
    elif file.gz_digest:
        algorithm, _, wanted = file.gz_digest.partition(":")
        came = hashlib.new(algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()
    else:
        return
    if came != wanted:
        raise DataError(f"{path.name}: expected hash {wanted}, but got {came}")


def _is_good(data_set: DataSet, file: DataFile, folder: Path, replace: bool) -> bool:
    if storage.find(file, folder) is None:
        return False
    try:
        storage.read_verified(data_set, file, folder)
    except DataError:
        if replace:
            return False
        raise
    return True


def _fetch(
    data_set: DataSet, file: DataFile, folder: Path, timeout: float, progress: Progress | None
) -> None:
    target = folder / f"{file.name}.gz"
    urls = [f"{mirror}{target.name}" for mirror in data_set.mirrors]
    try:
        fetch(urls, target, lambda path: check(file, path), timeout=timeout, progress=progress)
    except DataError as error:
        names = ", ".join(f"{each.name}.gz" for each in storage.missing(data_set, folder))
        raise DataError(
            f"{data_set.name}: {error}; put {names or target.name} by hand into"
            f" {idx.one_line(folder)}, or set data.root to a folder that has them"
        ) from None
    for variant in file.variants:  # a damaged copy under another name would be found first
        if variant != target.name:
            (folder / variant).unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Make ``folder`` and hold its lock, which the system frees even after a kill."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a")  # noqa: SIM115 - closed below; an error here is ours
    except OSError as error:
        raise DataError(f"{idx.one_line(folder)}: cannot be written: {error.strerror}") from None
    with file:
        try:
            _wait_for_lock(file)
        except OSError as error:
            raise DataError(f"{idx.one_line(folder)}: cannot be locked: {error.strerror}") from None
        yield


if sys.platform == "win32":
    import msvcrt

    def _wait_for_lock(file: IO[str]) -> None:
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            except OSError:  # LK_LOCK gives up after ten seconds
                continue
            return
else:
    import fcntl

    def _wait_for_lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
