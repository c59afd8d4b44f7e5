"""Fetch one file over HTTP: several addresses, resumed, checked, moved into place at once."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mnist_core.data.idx import one_line
from mnist_core.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Told the file's name, the bytes here so far, and the bytes in all where the server says so."""

MAX_DOWNLOAD: Final = 2**28
"""Largest file that is fetched: 256 MiB."""

_ATTEMPTS: Final = 3
_CHUNK: Final = 2**18


class _MirrorError(Exception):
    """This address does not give the file."""


class _BrokenError(_MirrorError):
    """The connection ended early; what came is kept and can be resumed."""


def fetch(
    urls: Sequence[str],
    target: Path,
    check: Callable[[Path], None],
    *,
    timeout: float = 10.0,
    progress: Progress | None = None,
) -> None:
    """Fetch ``target`` from the first of ``urls`` whose content passes ``check``.

    What came so far is kept in ``TARGET.part``, also over a crash, and resumed where the server
    can; a ``.part`` that leads to wrong content is thrown away. One process at a time may fetch
    the same target (see ``download``).

    Args:
        check: raises ``DataError`` when the file at the given path is not the right one.
        timeout: seconds without an answer after which an address is given up.

    Raises:
        DataError: if no address gave the file (with each one's reason), or it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    problems = []
    try:
        for url in urls:
            try:
                _from_mirror(url, part, check, timeout, progress)
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
) -> None:
    """Bring ``part`` to a checked end from one address, with a few attempts."""
    problem = _MirrorError("nothing came")
    for _ in range(_ATTEMPTS):
        before = _size(part)
        try:
            _pull(url, part, before, timeout, progress)
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


def _pull(url: str, part: Path, have: int, timeout: float, progress: Progress | None) -> None:
    """Append to ``part``, which holds ``have`` bytes, what the server sends."""
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
        if total is not None and total > MAX_DOWNLOAD:
            raise _MirrorError(f"{total} bytes, more than {MAX_DOWNLOAD}")
        here = start
        with open(part, "ab" if resumes else "wb") as file:
            while chunk := _receive(response, here):
                file.write(chunk)
                here += len(chunk)
                if here > MAX_DOWNLOAD:
                    raise _MirrorError(f"more than {MAX_DOWNLOAD} bytes")
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
