"""Curves in a line of text."""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int = 12) -> str:
    """Draw the last ``width`` values as bars of eight heights, scaled to their own range."""
    # NaN is not equal to itself, and has no height.
    tail = [value for value in values[-width:] if value == value]
    if not tail:
        return ""
    low, high = min(tail), max(tail)
    if high == low:
        return _BARS[3] * len(tail)
    return "".join(_BARS[round((value - low) / (high - low) * 7)] for value in tail)
