"""Versions that are written into results."""

import platform
from importlib import metadata

PACKAGE = "mnist-studies"

TRAINER_VERSION = "3"
"""Changes whenever the same config, data and seed would give other weights than before."""


def package_version() -> str:
    """Return the installed version of this package, or "source" when it is not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "source"


def versions() -> dict[str, str]:
    """Return the versions that a training depends on."""
    import torch  # takes seconds, and --version needs none

    found = {
        "trainer": TRAINER_VERSION,
        PACKAGE: package_version(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": metadata.version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if torch.cuda.is_available():
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return found
