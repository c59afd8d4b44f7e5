"""Level bars in a chart. Each kind has its own pattern: colours alone do not tell kinds apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studies.report.svg import Chart

HEIGHT = 14
_GAP = 5
"""Pixels between two lines of a pattern."""
_TITLED = 300
"""More bars than this have no tooltips; those of a kind are one path."""


@dataclass(frozen=True)
class Bar:
    """A bar at place ``at`` of an axis of names, from ``low`` to ``high``."""

    at: float
    low: float
    high: float
    title: str = ""


def draw_bars(chart: Chart, bars: Sequence[Bar], kind: str, *, height: int = HEIGHT) -> None:
    """Draw bars; pruned ones have slanted lines, those of the confirmation upright ones."""
    drawn = [(chart.across(b.low), chart.across(b.high), chart.up(b.at), b.title) for b in bars]
    if len(bars) > _TITLED:
        whole = "".join(_path(*bar[:3], height) for bar in _merged(drawn))
        chart.path(f"bar {kind}", whole)
    else:
        for left, right, middle, title in drawn:
            chart.path(f"bar {kind}", _path(left, right, middle, height), title)
    lines = "".join(_pattern(*bar[:3], height, kind) for bar in drawn)
    chart.path(f"hatch {kind}", lines)


def _path(left: float, right: float, middle: float, height: int) -> str:
    wide = max(0.5, right - left)
    return f"M{left:.1f} {middle - height / 2:.1f}h{wide:.1f}v{height}h-{wide:.1f}z"


_Drawn = tuple[float, float, float, str]


def _merged(drawn: Iterable[_Drawn]) -> list[_Drawn]:
    """Return bars with those joined that have less than a pixel between them."""
    found: dict[float, list[_Drawn]] = {}
    for left, right, middle, _ in sorted(drawn):
        row = found.setdefault(middle, [])
        if row and left - row[-1][1] < 1:
            row[-1] = (row[-1][0], max(right, row[-1][1]), middle, "")
        else:
            row.append((left, right, middle, ""))
    return [bar for row in found.values() for bar in row]


def _pattern(left: float, right: float, middle: float, height: int, kind: str) -> str:
    """Return the lines over a bar; none over a narrow one, where they could not be seen."""
    low = middle + height / 2
    path, x = "", left + _GAP
    if kind not in ("pruned", "confirm"):
        return path
    lean = height if kind == "pruned" else 0
    while x + lean < right:
        path += f"M{x:.1f} {low:.1f}l{lean} -{height}"
        x += _GAP
    return path
