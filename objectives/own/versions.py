"""Versions that a study with an objective of the user's own keeps with its confirmation."""

import importlib.metadata
import platform
from typing import Any

from mnist_core.version import PACKAGE, package_version
from objectives.own import worker
from objectives.own.own import Own


def describe(own: Own) -> dict[str, Any]:
    """Return versions, the facts of the objective's ``describe``, and the name of the data."""
    return {
        "versions": {
            "python": platform.python_version(),
            "optuna": importlib.metadata.version("optuna"),
            PACKAGE: package_version(),
            **worker.describe(own),
        },
        "data": {"fingerprint": worker.prepare(own, ()).fingerprint},
    }
