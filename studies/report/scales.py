"""Axes of charts: where a value lies, and which values are named."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Where values lie on an axis.

    Attributes:
        low: the value at its begin.
        high: the value at its end, above ``low``.
        log: whether it is logarithmic; both are above 0 then.
        names: of the places 0, 1, … of an axis of names, instead of numbers.
        whole: whether only whole numbers are named.
    """

    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()
    whole: bool = False

    def at(self, value: float) -> float:
        """Return the place of ``value``: 0 at the begin, 1 at the end, never outside."""
        return min(1.0, max(0.0, self.share(value)))

    def share(self, value: float) -> float:
        """Return the place of ``value``: below 0 or above 1 where it lies off the axis."""
        turn = math.log if self.log else float
        low, high = turn(self.low), turn(self.high)
        if self.log and value <= 0:
            return -1.0
        # Rounded, so that an end of the axis is on it.
        return round((turn(value) - low) / (high - low), 9)

    def off(self, value: float) -> int:
        """Return -1 if ``value`` lies before the axis, 1 if behind it, 0 if on it."""
        share = self.share(value)
        return (share > 1) - (share < 0)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Return up to about ``most`` values that the axis names, and how."""
        if self.names:
            return [(float(place), name) for place, name in enumerate(self.names)]
        values = _log_ticks(self.low, self.high, most) if self.log else self._even(most)
        return [(value, _number(value)) for value in values]

    def _even(self, most: int) -> list[float]:
        step = _nice((self.high - self.low) / most)
        if self.whole:
            step = max(1.0, round(step))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]


def names_scale(names: Iterable[str]) -> Scale:
    """Return a scale with a place for each name."""
    listed = tuple(names)
    return Scale(-0.5, len(listed) - 0.5, names=listed)


def short_names(names: Sequence[str], most: int) -> list[str]:
    """Return names of at most ``most`` characters, still different where the names are.

    The end is cut off; where that makes names alike, the middle; where that does, too, the begin.
    """
    for cut in (_without_end, _without_middle, _without_begin):
        short = [name if len(name) <= most else cut(name, most) for name in names]
        if len(set(short)) == len(set(names)):
            break
    return short


def _without_end(name: str, most: int) -> str:
    return name[: max(1, most - 1)] + "…"


def _without_middle(name: str, most: int) -> str:
    end = max(1, (most - 1) // 2)
    return name[: max(1, most - 1 - end)] + "…" + name[-end:]


def _without_begin(name: str, most: int) -> str:
    return "…" + name[-max(1, most - 1) :]


def room_for(names: Iterable[str]) -> int:
    """Return the pixels that names beside an upright axis take."""
    return min(176, 14 + round(7.9 * max(map(len, names), default=0)))


def scale_of(values: Sequence[float], *, log: bool = False, margin: float = 0.04) -> Scale:
    """Return a scale that holds ``values`` with a margin (a share of their range)."""
    low, high = min(values), max(values)
    if log and low > 0:
        low, high = math.log(low), math.log(high)
        room = (high - low) * margin or 0.5
        return Scale(math.exp(low - room), math.exp(high + room), log=True)
    room = (high - low) * margin or abs(high) * 0.05 or 0.5
    return Scale(low - room, high + room)


def _number(value: float) -> str:
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:g}"


def _nice(step: float) -> float:
    """Return the nearest of 1, 2, 5, 10 … times a power of ten that is not below ``step``."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= step * 0.999)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return 1, 2, 5 (or 1, 3; or 1) times powers of ten: as many as there is room for."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{part}e{power}") for power in range(first, last + 1) for part in parts]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]
