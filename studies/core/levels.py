"""Levels of a numeric parameter: a few values over its range, which a study compares as choices."""

import math
from collections.abc import Sequence

from search_spaces.space import Choice, Float, Int, SpaceError

LEVELS = 5
"""Levels of a numeric scientific parameter, unless the study says otherwise."""
DIGITS = 4
"""A level of a Float without a step is rounded to this number of digits."""


def as_levels(parameter: Float | Int, asked: int | Sequence[float] | None) -> Choice:
    """Return ``parameter`` as a Choice of levels.

    Args:
        parameter: its range is covered evenly, on a logarithmic scale if it has one.
        asked: the number of levels, or the levels themselves; None: ``LEVELS``.

    Raises:
        SpaceError: if the levels are not in the range, or fewer than two differ.
    """
    if asked is None or isinstance(asked, int):
        count = LEVELS if asked is None else asked
        if isinstance(asked, bool) or count < 2:
            raise SpaceError(f"levels must be at least 2, or a list, but got {asked!r}")
        found = _even(parameter, count)
    elif isinstance(asked, str) or not isinstance(asked, Sequence):
        raise SpaceError(f"levels must be a number or a list of values, but got {asked!r}")
    else:
        for value in asked:
            if problem := parameter.problem(value):
                raise SpaceError(f"levels: {problem}")
        kind = int if isinstance(parameter, Int) else float
        found = [kind(value) for value in asked]
    found = sorted(set(found))
    if len(found) < 2:
        raise SpaceError(f"levels must hold two different values or more, but got {found}")
    return Choice(tuple(found), sets=parameter.sets)


def _even(parameter: Float | Int, count: int) -> list[float]:
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        low, high = math.log(low), math.log(high)
    inside = [low + (high - low) * index / (count - 1) for index in range(1, count - 1)]
    if parameter.log:
        inside = [math.exp(value) for value in inside]
    return [parameter.low, *(_placed(parameter, value) for value in inside), parameter.high]


def _placed(parameter: Float | Int, value: float) -> float:
    """Return the value of the parameter's grid that is nearest to ``value``."""
    if parameter.step is not None:
        value = parameter.low + round((value - parameter.low) / parameter.step) * parameter.step
    if isinstance(parameter, Int):
        return round(value)
    if parameter.step is not None:
        return parameter.snapped(value)
    return min(max(float(f"{value:.{DIGITS}g}"), parameter.low), parameter.high)


def is_number(value: object) -> bool:
    """Return whether ``value`` is a number; a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
