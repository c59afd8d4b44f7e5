"""Writing files whole or not at all."""

import os
import tempfile
from pathlib import Path

from mnist_core.errors import UserError


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path``; a crash midway leaves the old file, never half of the new one.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only the owner may read.
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def ensure_writable(folder: Path) -> None:
    """Make ``folder`` and check that files can be written there.

    Raises:
        UserError: it is a file, or may not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"results folder {folder}: {error.strerror}; choose another one with"
            " --set results.folder=DIR"
        ) from error
