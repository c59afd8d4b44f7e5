"""Lines cut where they leave a chart; otherwise they would run along its edge."""

import itertools
from collections.abc import Iterable, Sequence

Place = tuple[float, float]
"""Across and up, as fractions of the chart: inside it both are from 0 to 1."""


def clipped(places: Sequence[Place]) -> list[list[Place]]:
    """Return the pieces of the line through ``places`` that lie within the chart."""
    if len(places) == 1:
        return [list(places)] if _inside(places[0]) else []
    pieces: list[list[Place]] = []
    for first, second in itertools.pairwise(places):
        cut = _segment(first, second)
        if cut is None:
            continue
        if pieces and pieces[-1][-1] == cut[0] == first:
            pieces[-1].append(cut[1])
        else:
            pieces.append([*cut])
    return pieces


def _inside(place: Place) -> bool:
    return all(0.0 <= one <= 1.0 for one in place)


def _segment(first: Place, second: Place) -> tuple[Place, Place] | None:
    """Return the part of a segment within the chart (Liang and Barsky 1984), or None."""
    begin, end = 0.0, 1.0
    steps = [b - a for a, b in zip(first, second, strict=True)]
    for step, room in _edges(steps, first):
        if step == 0:
            if room < 0:
                return None
            continue
        at = room / step
        if step < 0:
            begin = max(begin, at)
        else:
            end = min(end, at)
    if begin > end:
        return None

    def along(share: float) -> Place:
        return first[0] + share * steps[0], first[1] + share * steps[1]

    return (first if begin == 0 else along(begin)), (second if end == 1 else along(end))


def _edges(steps: Sequence[float], first: Place) -> Iterable[tuple[float, float]]:
    for step, at in zip(steps, first, strict=True):
        yield -step, at
        yield step, 1.0 - at
