"""What a result was made with: versions, and the hashes of the data."""

import importlib.metadata
import platform
from typing import Any

from mnist_core.version import TRAINER_VERSION
from studies.planning.plan import Plan

PACKAGE = "mnist-studies"


def package_version() -> str:
    """Return this package's version; ``0`` when it runs from a tree that is not installed."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def describe(plan: Plan) -> dict[str, Any]:
    """Return versions and data hashes as JSON values; the data is loaded, if it is not yet."""
    from mnist_core.data.datasets import load

    data = load(plan.train.data)
    import torch

    return {
        "versions": {
            "python": platform.python_version(),
            # With its build, e.g. 2.15.0+cu132: what a training compares itself with.
            # A plain string: torch's own kind would have whoever receives it import torch.
            "torch": str(torch.__version__),
            "optuna": importlib.metadata.version("optuna"),
            "trainer": TRAINER_VERSION,
            PACKAGE: package_version(),
        },
        "data": {"fingerprint": data.fingerprint, "sha256": dict(data.sha256)},
    }
