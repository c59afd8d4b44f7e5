"""Nested tables of settings: their dotted names, and what two of them do not share."""

from collections.abc import Iterator, Mapping
from typing import Any


class _Absent:
    def __str__(self) -> str:
        return "nothing"


ABSENT = _Absent()
"""Stands in a difference for a setting that one side does not have."""


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``tables`` by dotted names: ``{"optim": {"lr": 1}}`` as ``{"optim.lr": 1}``."""
    return dict(flat_items(tables))


def flat_items(
    tables: Mapping[str, Any], prefix: str = "", *, keep_empty: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield the items of ``flatten``; a name given twice, dotted and nested, comes twice.

    Empty tables are left out, unless ``keep_empty``.
    """
    for key, value in tables.items():
        if isinstance(value, Mapping) and (value or not keep_empty):
            yield from flat_items(value, f"{prefix}{key}.", keep_empty=keep_empty)
        else:
            yield f"{prefix}{key}", value


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, old and new value of what differs, in the order of ``old``, then ``new``.

    A list and a tuple of the same values are equal, as JSON does not have tuples.
    """
    for key in {**old, **new}:
        one, other = old.get(key, ABSENT), new.get(key, ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from difference(one, other, f"{prefix}{key}.")
        elif _plain(one) != _plain(other):
            yield f"{prefix}{key}", one, other


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
