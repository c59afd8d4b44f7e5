"""Strokes from images of digits: what a hand would have to draw to write them."""

import numpy as np
import numpy.typing as npt

Points = list[tuple[float, float]]

_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The neighbours of a pixel, clockwise from above (row, column)."""


def thin(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the skeleton of ``ink`` (Zhang and Suen 1984), one pixel wide."""
    ink = np.pad(ink, 1)
    while True:
        before = ink.copy()
        for first in (True, False):
            p = [np.roll(ink, (-row, -column), (0, 1)) for row, column in _AROUND]
            ends = sum(~p[k] & p[(k + 1) % 8] for k in range(8)) == 1
            count = sum(one.astype(int) for one in p)
            north, east, south, west = p[0], p[2], p[4], p[6]
            open_side = ~(north & east & south) if first else ~(north & east & west)
            open_side &= ~(east & south & west) if first else ~(north & south & west)
            ink = ink & ~(ends & (count >= 2) & (count <= 6) & open_side)
        if np.array_equal(ink, before):
            return ink[1:-1, 1:-1]


def strokes_of(image: npt.NDArray[np.uint8]) -> list[Points]:
    """Return strokes as points (x, y), 0 to 1, that draw the lines of an image uint8 ``[28, 28]``.

    The skeleton is followed pixel by pixel, from its ends first.
    """
    left = {(int(y), int(x)) for y, x in np.argwhere(thin(image >= 100))}

    def near(place: tuple[int, int]) -> list[tuple[int, int]]:
        # Straight neighbours before oblique ones, so that no corner is cut.
        around = [(place[0] + row, place[1] + column) for row, column in _AROUND]
        return [one for k in (0, 1) for one in around[k::2] if one in everything]

    everything = set(left)
    found = []
    while left:
        place = min(left, key=lambda one: (len([p for p in near(one) if p in left]) != 1, one))
        joined = [one for one in near(place) if one not in left]
        path = [*joined[:1], place]
        left.discard(place)
        while ahead := [one for one in near(path[-1]) if one in left]:
            path.append(ahead[0])
            left.discard(ahead[0])
        path += [one for one in near(path[-1]) if one not in left and one not in path[-3:]][:1]
        found.append([((x + 0.5) / 28, (y + 0.5) / 28) for y, x in path])
    return found
