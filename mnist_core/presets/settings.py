"""Configurations side by side, as ``--set`` takes them."""

import json
from collections.abc import Mapping
from typing import Any


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested tables into dotted keys: ``{"optim": {"lr": 1}}`` into ``{"optim.lr": 1}``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differences(settings: Mapping[str, Any], base: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what ``settings`` has otherwise than ``base``: dotted key, and ``key=value``."""
    before = flat(base)
    return [
        (key, f"{key}={value if isinstance(value, str) else json.dumps(value)}")
        for key, value in flat(settings).items()
        if before.get(key) != value
    ]
