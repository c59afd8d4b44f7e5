"""Bring the files of a data set into the cache folder: from mirrors, resumed, verified, locked."""

import contextlib
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from mnist_core.data import idx, storage
from mnist_core.data.idx import one_line
from mnist_core.data.registry import DataFile, DataSet
from mnist_core.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Told the file's name, the bytes here so far, and the bytes in all where the server says so."""

MAX_DOWNLOAD: Final = 2**28  # largest file that is fetched: 256 MiB

_ATTEMPTS: Final = 3
_CHUNK: Final = 2**18


class CannotLock(DataError):
    """A folder cannot be written, or not be locked."""


class _MirrorError(Exception):
    """This address does not give the file."""


class _BrokenError(_MirrorError):
    """The connection ended early; the part that arrived is kept and can be resumed."""


def download(
    data_set: DataSet,
    folder: Path,
    *,
    replace: bool = False,
    timeout: float = 10.0,
    progress: Progress | None = None,
) -> list[str]:
    """Fetch the files that ``folder`` lacks, verify the others, and record all raw hashes there.

    Args:
        replace: whether damaged files are fetched again.
        timeout: seconds without an answer after which a mirror is given up.

    Returns the names of the files that were fetched.

    Raises:
        DataError: if no mirror gave a file, or one that is there is damaged and not replaced.
    """
    fetched = []
    with lock(folder):  # only one of several processes works; the others find the files
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
    """Check by the best hash that is known that ``path`` holds the published ``file``."""
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
        if replace:  # outside of our cache it may belong to another data set
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
            f" {one_line(folder)}, or set data.root to a folder that has them"
        ) from None
    for variant in file.variants:  # a damaged copy under another name would be found first
        if variant != target.name:
            (folder / variant).unlink(missing_ok=True)


def fetch(
    urls: Sequence[str],
    target: Path,
    check: Callable[[Path], None],
    *,
    timeout: float = 10.0,
    progress: Progress | None = None,
    most: int = MAX_DOWNLOAD,
) -> None:
    """Fetch ``target`` from the first of ``urls`` whose content passes ``check``.

    ``check`` raises ``DataError`` if the file at a path is wrong. An address is given up after
    ``timeout`` seconds without an answer, or if it has more than ``most`` bytes.

    Raises:
        DataError: if no address gave the file (with each one's reason), or it cannot be written.
    """
    # What came is kept in TARGET.part and resumed where the server can. Only one process at a time
    # may fetch a target, see download.
    part = target.with_name(f"{target.name}.part")
    problems = []
    try:
        for url in urls:
            try:
                _from_mirror(url, part, check, timeout, progress, most)
            except _MirrorError as problem:
                problems.append(f"{urlsplit(url).hostname}: {problem}")
            else:
                os.replace(part, target)
                return
    except OSError as error:  # of the disk: those of the network are _MirrorError by now
        raise DataError(f"{one_line(target)}: cannot be written: {error.strerror}") from None
    raise DataError(f"no mirror gave {target.name} ({'; '.join(problems)})")


def _from_mirror(
    url: str,
    part: Path,
    check: Callable[[Path], None],
    timeout: float,
    progress: Progress | None,
    most: int,
) -> None:
    """Bring ``part`` to a checked end from one address, with a few attempts."""
    problem = _MirrorError("nothing came")
    for _ in range(_ATTEMPTS):
        before = _size(part)
        try:
            _pull(url, part, before, timeout, progress, most)
        except _BrokenError as broken:
            if _size(part) <= before:
                raise
            problem = broken
            continue
        try:
            check(part)
        except DataError as error:
            part.unlink()
            problem = _MirrorError(f"wrong content ({error})")
            if not before:
                raise problem from None
            continue  # the resumed start may have been at fault: once more from zero
        return
    raise problem


def _pull(
    url: str, part: Path, have: int, timeout: float, progress: Progress | None, most: int
) -> None:
    headers = {"User-Agent": "mnist-studies", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # nothing after `have`: whole, or wrong; check() tells
                return
            raise _MirrorError(f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorError(str(getattr(error, "reason", None) or error)) from None
    with response:
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        start = have if resumes else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        if total is not None and total > most:
            raise _MirrorError(f"{total} bytes, more than {most}")
        here = start
        with open(part, "ab" if resumes else "wb") as file:
            while chunk := _receive(response, here):
                file.write(chunk)
                here += len(chunk)
                if here > most:
                    raise _MirrorError(f"more than {most} bytes")
                if progress:
                    progress(part.stem, here, total)
    if total is not None and here < total:
        raise _BrokenError(f"connection closed at byte {here} of {total}")


def _receive(response: http.client.HTTPResponse, here: int) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"connection broke at byte {here}: {error}") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Make ``folder`` and hold its lock, which the system frees even after a kill."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a")  # noqa: SIM115 - closed below; an error here is ours
    except OSError as error:
        raise CannotLock(f"{one_line(folder)}: cannot be written: {error.strerror}") from None
    with file:
        try:
            _wait_for_lock(file)
        except OSError as error:
            raise CannotLock(f"{one_line(folder)}: cannot be locked: {error.strerror}") from None
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
