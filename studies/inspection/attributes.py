"""User attributes as a person can read them: one plain value a row, nothing cut off midway."""

from collections.abc import Mapping
from typing import Any

from mnist_core import validation_summary
from studies.inspection.pictures import CONFUSION

_DRAWN = (CONFUSION, validation_summary.NAME)
_DEPTH = 2
_LONGEST = 200
_PLAIN = str | int | float | bool | None


def readable(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return ``attributes`` with what is nested as rows of its own, ``budget.trials``.

    Left out: a confusion matrix, curves and mistakes, which are drawn, and what lies deeper than
    that or is too long to be read.
    """
    rows: dict[str, str] = {}
    for name, value in attributes.items():
        if name not in _DRAWN and value is not None:
            rows |= _rows(name, value)
    return {name: text for name, text in rows.items() if len(text) <= _LONGEST}


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, as ``readable`` writes it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rows(name: str, value: Any, depth: int = 1) -> dict[str, str]:
    if isinstance(value, Mapping):
        if depth > _DEPTH:
            return {}
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _rows(f"{name}.{key}", inner, depth + 1)
        return found
    if isinstance(value, list | tuple):
        plain = all(isinstance(one, _PLAIN) for one in value)
        return {name: ", ".join(map(_text, value))} if plain else {}
    return {name: _text(value)}


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
