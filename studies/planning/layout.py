"""Where a study's files are."""

from pathlib import Path

from mnist_core.errors import ConfigError
from studies.storage.belonging import MODELS


def results_folder(setting: str) -> Path:
    """Return the absolute path of ``results.folder``; raise ConfigError if it is not a folder."""
    # Absolute at once: an objective may change the working directory while the study runs.
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
