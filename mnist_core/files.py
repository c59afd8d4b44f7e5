"""Writing files whole or not at all, and checking beforehand that they can be."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

from mnist_core.errors import UserError

_DRAFTS = ".saving-"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write bytes, or text as UTF-8, whole or not at all; raise UserError if it cannot be."""
    # A file's name that is not UTF-8 has lone surrogates.
    raw = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder for the draft, since files of `mkstemp` can be read by their owner only.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=_DRAFTS) as folder:
            draft = Path(folder) / path.name
            with draft.open("wb") as file:
                file.write(raw)
                file.flush()
                # Or a power cut may leave the new name with no content.
                os.fsync(file.fileno())
            os.replace(draft, path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"{path}: cannot be written: {_reason(error)}") from None


def discard(path: Path) -> None:
    """Delete what a step that failed has left, if it can be; the first error is the one to read."""
    with contextlib.suppress(OSError):  # a read-only disk refuses this for a missing file, too
        path.unlink()


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of killed processes from ``folder``."""
    for left in folder.glob(f"{_DRAFTS}*"):
        shutil.rmtree(left, ignore_errors=True)


def prepare_folder(folder: Path, option: str) -> None:
    """Make ``folder``; raise a UserError that names ``option`` if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unusable(folder, option, error) from None


def check_writable(folder: Path, option: str) -> None:
    """Check as ``prepare_folder`` that files could be written, and leave nothing behind."""
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        with tempfile.TemporaryDirectory(dir=there):  # /proc allows neither, and root all the rest
            pass
    except OSError as error:
        raise _unusable(folder, option, error) from None


def check_file(path: Path, option: str, example: str) -> None:
    """Check as ``prepare_folder`` that the file ``path`` can be written."""
    prepare_folder(path.parent, option)
    if path.is_dir():
        raise UserError(f"{option} {path}: is a folder; name a file, e.g. {path / example}")


def check_regular(path: Path) -> None:
    """Raise ``OSError`` unless ``path`` is a file: to open a named pipe may take for ever."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is a pipe or a device, not a file", str(path))


def from_here(path: Path) -> Path:
    """Return ``path`` relative to the working directory, if it lies in it: for people to read."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was deleted
        return path
    return path.relative_to(here) if path.is_relative_to(here) else path


def printable(text: str) -> str:
    """Return ``text`` in one line without control characters, as a TOML comment must be."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _unusable(folder: Path, option: str, error: Exception) -> UserError:
    return UserError(f"{option}: cannot write to {folder}: {_reason(error)}; choose another")


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error
