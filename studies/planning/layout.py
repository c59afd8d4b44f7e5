"""A study's folder: its path, the files in it, and whether it can be written."""

import tempfile
from pathlib import Path

from mnist_core.errors import ConfigError, UserError
from studies.storage.belonging import MODELS


def results_folder(setting: str) -> Path:
    """Return the absolute path of the folder that ``results.folder`` names.

    It is resolved at once: an objective may change the working directory while the study runs.

    Raises:
        ConfigError: if it is not a folder: models and states are files, replaced by renaming.
    """
    if "\0" in setting:
        raise ConfigError("results.folder: a path cannot hold a null byte")
    if "://" in setting:
        raise ConfigError(
            f"results.folder: {setting!r} is a URL; mount it (with engine ray on every node, in the"
            " same place), and name that folder"
        )
    return Path(setting).absolute()


def models_folder(study: Path) -> Path:
    """Return where the study in folder ``study`` keeps confirmed models, ``N.safetensors`` each."""
    return study / MODELS / "confirm"


def states_folder(study: Path, phase: str) -> Path:
    """Return where states of the trials of ``phase`` (search, confirm) are kept."""
    return study / MODELS / "running" / phase


def check_folder(folder: Path, *, setting: str = "results.folder") -> None:
    """Check that ``folder`` can be made and written to, and leave nothing behind.

    Raises:
        UserError: if it cannot; the message begins with ``setting``.
    """
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        with tempfile.TemporaryDirectory(dir=there):  # /proc allows neither, and root all the rest
            pass
    except OSError as error:
        raise _unusable(folder, setting, error) from None


def prepare_folder(folder: Path, *, setting: str = "results.folder") -> None:
    """Make ``folder`` and check that files can be written there.

    Raises:
        UserError: if it cannot be made or written; the message begins with ``setting``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise _unusable(folder, setting, error) from None


def _unusable(folder: Path, setting: str, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"{setting}: cannot write to {folder}: {reason}; choose another")
