"""Values as JSON: valid for every reader, and safe to print on a terminal."""

import json
import math
from collections.abc import Mapping
from typing import Any

from studies.core.redaction import masked


def plain(value: Any) -> Any:
    """Return ``value`` as JSON holds it; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)


def json_text(value: Mapping[str, Any]) -> str:
    """Return ``value`` as an indented JSON object in ASCII, with passwords in addresses masked.

    A terminal cannot act on anything in it, and other programs can read it.
    """
    # json escapes everything that others wrote but DEL.
    text = json.dumps(_masked(plain(value)), indent=2, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return masked(value) if isinstance(value, str) else value
