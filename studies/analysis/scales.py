"""Axes of charts: where a value lies, which values are named, how a metric is drawn."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from studies.core.formatting import is_share, metric_text
from studies.statistics.intervals import Direction, sign_of

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Where values lie on an axis from ``low`` to ``high``.

    Attributes:
        log: whether it is logarithmic; then both are above 0.
        names: of the places 0, 1, …; empty: it is an axis of numbers.
        whole: whether only whole numbers are named.
    """

    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()
    whole: bool = False

    def at(self, value: float) -> float:
        """Return the place of ``value``: 0 at the start, 1 at the end, never outside."""
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
        """Return about ``most`` values that the axis names, with their names."""
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
    """Return names of at most ``most`` characters, still different where the names are."""
    keep, half = max(1, most - 1), max(1, (most - 1) // 2)
    # The end is cut off; if that makes names alike, the middle, or else the start.
    cuts: tuple[Callable[[str], str], ...] = (
        lambda name: f"{name[:keep]}…",
        lambda name: f"{name[: max(1, most - 1 - half)]}…{name[-half:]}",
        lambda name: f"…{name[-keep:]}",
    )
    for cut in cuts:
        short = [name if len(name) <= most else cut(name) for name in names]
        if len(set(short)) == len(set(names)):
            break
    return short


def room_for(names: Iterable[str]) -> int:
    """Return the pixels that names take beside an upright axis."""
    return min(176, 14 + round(7.9 * max(map(len, names), default=0)))


def scale_of(values: Sequence[float], *, log: bool = False, margin: float = 0.04) -> Scale:
    """Return a scale that holds ``values`` with a margin (a fraction of their range)."""
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
    """Return 1, 2, 5 (or 1, 3; or 1) times powers of ten, at most ``most`` values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{part}e{power}") for power in range(first, last + 1) for part in parts]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


@dataclass(frozen=True)
class Values:
    """How the study's metric is drawn.

    Attributes:
        sign: 1.0 to maximise, -1.0 to minimise.
        scale: its axis; bad values lie off it, so that the good ones can be told apart.
    """

    metric: str
    sign: float
    scale: Scale

    @property
    def label(self) -> str:
        """The axis' name, with its unit."""
        return axis_label(self.metric)

    def of(self, value: float) -> float:
        """Return the number that is drawn: per cent of a share."""
        return 100 * value if is_share(self.metric) else value

    def off(self, value: float) -> bool:
        """Whether ``value`` lies off the axis."""
        return self.scale.off(self.of(value)) != 0

    def text(self, value: float | None) -> str:
        """Write a value."""
        return metric_text(self.metric, value)


def axis_label(metric: str) -> str:
    """Return a metric's name with its unit."""
    return f"{metric}, %" if is_share(metric) else metric


def values_of(metric: str, direction: Direction, values: Sequence[float]) -> Values:
    """Return how to draw ``values``: the worst off the axis if they squash the others."""
    times = 100 if is_share(metric) else 1
    sign = sign_of(direction)
    ordered = sorted((times * value for value in values), key=lambda value: -sign * value)
    if not ordered:
        return Values(metric, sign, Scale(0.0, 1.0))
    best, worst = ordered[0], ordered[-1]
    usual = ordered[int(0.6 * (len(ordered) - 1))]
    # The best 60 % decide: a few diverged trials would squash the rest into a line.
    reach = 2.5 * abs(best - usual)
    end = worst if not reach else sign * max(sign * worst, sign * best - reach)
    return Values(metric, sign, scale_of([best, end], margin=0.06))


def better_half(values: Sequence[float], sign: float) -> Point | None:
    """Return the ends of an axis that shows the better half well; None: too few or equal values."""
    ordered = sorted(values, key=lambda value: sign * value)
    if len(ordered) < 4:
        return None
    middle, best = ordered[len(ordered) // 2], ordered[-1]
    reach = best - middle
    low, high = sorted((middle - 2 * reach, best + 0.2 * reach))
    return (low, high) if reach else None
