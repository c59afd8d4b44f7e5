"""Configurations side by side, as ``--set`` takes them."""

import json
from collections.abc import Mapping
from typing import Any

from mnist_core.table import flat


def differences(settings: Mapping[str, Any], base: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what ``settings`` has otherwise than ``base``: dotted key, and ``key=value``."""
    before = flat(base)
    return [
        (key, f"{key}={value if isinstance(value, str) else json.dumps(value)}")
        for key, value in flat(settings).items()
        if before.get(key) != value
    ]
