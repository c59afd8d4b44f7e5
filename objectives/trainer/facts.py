"""Versions and data hashes, which a study keeps with its confirmation."""

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from mnist_core.config import DataConfig
from mnist_core.version import PACKAGE, TRAINER_VERSION, package_version


def describe(config: DataConfig, own: Mapping[str, str]) -> dict[str, Any]:
    """Return versions and data hashes as JSON values; loads the data if needed.

    ``own``: the hashes of the user's own code, by ``code of FILE``.
    """
    import torch

    from mnist_core.data.datasets import load

    data = load(config)
    return {
        "versions": {
            "python": platform.python_version(),
            # With its build, e.g. 2.15.0+cu132: what a training compares itself with. A plain
            # string: a process that unpickles torch's own kind would have to import torch.
            "torch": str(torch.__version__),
            "optuna": importlib.metadata.version("optuna"),
            "trainer": TRAINER_VERSION,
            PACKAGE: package_version(),
            **own,
        },
        "data": {"fingerprint": data.fingerprint, "sha256": dict(data.sha256)},
    }
