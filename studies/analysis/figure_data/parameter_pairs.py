"""The metric over two parameters at once."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.space import Space
from studies.analysis.figure_data.parameters import axis_of
from studies.analysis.figure_data.trials import best_first, complete
from studies.analysis.scales import Point, Scale
from studies.core.trials import TrialRecord

CLASSES = 5
"""Trials are coloured by the fifth of all values that theirs lies in."""
_ENOUGH = 8
"""With fewer trials a plane shows nothing."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Trials of full budget over two settings.

    Attributes:
        classes: the trials of each fifth, the worst first, with their places.
    """

    names: tuple[str, str]
    scales: tuple[Scale, Scale]
    classes: list[list[tuple[TrialRecord, Point]]]


def planes(
    space: Space, search: Sequence[TrialRecord], ranked: Sequence[str], sign: float, *, most: int
) -> list[Plane]:
    """Return at most ``most`` planes, of the settings of the parameters that ``ranked`` has first.

    Parameters that set the same thing share an axis.
    """
    ended = complete(search)
    names: dict[str, list[str]] = {}
    for name in ranked:
        names.setdefault(space.setting(name), [])
    for name in space.parameters:
        if (setting := space.setting(name)) in names:
            names[setting].append(name)
    axes = {setting: axis_of(space, of) for setting, of in names.items()}
    # The worst first, so that the best are drawn above them.
    order = best_first(ended, sign)[::-1]
    place = {record.number: index * CLASSES // len(order) for index, record in enumerate(order)}
    found: list[Plane] = []
    for first, second in itertools.combinations(axes, 2):
        (x_scale, x), (y_scale, y) = axes[first], axes[second]
        classes: list[list[tuple[TrialRecord, Point]]] = [[] for _ in range(CLASSES)]
        for record in order:
            across, up = x(record), y(record)
            if across is not None and up is not None:
                classes[place[record.number]].append((record, (across, up)))
        if sum(map(len, classes)) >= _ENOUGH and len(found) < most:
            found.append(Plane(names=(first, second), scales=(x_scale, y_scale), classes=classes))
    return found
