"""Why trials failed, counted: the same reason with other numbers is the same reason."""

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def same_reason(reason: str) -> str:
    """Return what ``reason`` has in common with the same one with other numbers."""
    return _NUMBER.sub("#", reason)


def tally(reasons: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Count ``reasons``, most frequent first, each as it came first.

    "after 1.2 s" and "after 1.3 s" are one.
    """
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for reason in reasons:
        kind = same_reason(reason)
        first.setdefault(kind, reason)
        counts[kind] = counts.get(kind, 0) + 1
    found = ((first[kind], count) for kind, count in counts.items())
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))
