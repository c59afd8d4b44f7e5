"""Versions that are written into results."""

from importlib import metadata

TRAINER_VERSION = "2"
"""Changes whenever the same config, data and seed would give other weights than before."""


def package_version() -> str:
    """Return the installed version of this package, or "source" when it is not installed."""
    try:
        return metadata.version("mnist-studies")
    except metadata.PackageNotFoundError:
        return "source"
