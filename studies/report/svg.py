"""Charts as inline SVG: small, crisp, and coloured by the page, so that they follow its theme.

Nothing is coloured here: lines and marks have classes (``report.css`` says what they look like in
light and dark), kinds of marks differ in shape as well. Every text is escaped.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

Point = tuple[float, float]

_TITLED = 400
"""More points than so many have no tooltips; they are one path of a few bytes a point."""


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
        turn = math.log if self.log else float
        low, high = turn(self.low), turn(self.high)
        if self.log and value <= 0:
            return 0.0
        return min(1.0, max(0.0, (turn(value) - low) / (high - low)))

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


@dataclass
class Chart:
    """One chart that is being drawn.

    Attributes:
        x: scale from left to right.
        y: scale from bottom to top; one with names runs from top to bottom.
        title: what a screen reader says of it.
        x_label: of the axis below.
        y_label: above the upright axis.
        width: of all, in pixels of 1:1.
        height: of all.
        left: room for the names of the upright axis.
        wide: whether it may be as wide as the page.
        bare: whether it has no axes of its own.
        y_ticks: about so many values of the upright axis are named.
    """

    x: Scale
    y: Scale
    title: str
    x_label: str = ""
    y_label: str = ""
    width: int = 460
    height: int = 280
    left: int = 52
    wide: bool = False
    bare: bool = False
    y_ticks: int = 5
    _parts: list[str] = field(default_factory=list)

    _RIGHT = 12

    @property
    def _top(self) -> int:
        return 24 if self.y_label else 8

    @property
    def _bottom(self) -> int:
        return 40 if self.x_label else 22

    def across(self, value: float) -> float:
        """Return the pixel of a value on the lower axis."""
        return self.left + self.x.at(value) * (self.width - self.left - self._RIGHT)

    def up(self, value: float) -> float:
        """Return the pixel of a value on the upright axis."""
        share, room = self.y.at(value), self.height - self._top - self._bottom
        return self._top + room * (share if self.y.names else 1 - share)

    def line(self, points: Iterable[Point], kind: str, *, title: str = "") -> None:
        """Draw a line through ``points``."""
        self.lines([list(points)], kind, title=title)

    def lines(self, many: Iterable[Sequence[Point]], kind: str, *, title: str = "") -> None:
        """Draw many lines of one kind, as one path."""
        path = "".join(self._path(points) for points in many)
        if path:
            self._parts.append(f'<path class="line {kind}" d="{path}">{_title(title)}</path>')

    def steps(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line that stays at a value until the next one."""
        drawn: list[Point] = []
        for x, y in points:
            if drawn:
                drawn.append((x, drawn[-1][1]))
            drawn.append((x, y))
        self.line(drawn, kind)

    def marks(self, points: Sequence[Point], kind: str, titles: Sequence[str] = ()) -> None:
        """Draw a mark at each point; ``kind`` begins with dot, ring, cross, square or low."""
        shape = kind.split()[0]
        if shape == "dot" and (len(points) > _TITLED or not titles):
            # A line of no length with round ends is a dot.
            path = "".join(f"M{self._xy(point)}h0" for point in points)
            if path:
                self._parts.append(f'<path class="dots {kind}" d="{path}"/>')
            return
        if not titles or len(points) > _TITLED:
            path = "".join(self._shape(shape, point) for point in points)
            if path:
                self._parts.append(f'<path class="mark {kind}" d="{path}"/>')
            return
        for point, title in zip(points, titles, strict=True):
            path = f"M{self._xy(point)}h0" if shape == "dot" else self._shape(shape, point)
            group = "dots" if shape == "dot" else "mark"
            self._parts.append(f'<path class="{group} {kind}" d="{path}">{_title(title)}</path>')

    def bar(self, y: float, low: float, high: float, kind: str, *, title: str = "") -> None:
        """Draw a level bar from ``low`` to ``high`` at place ``y`` of an axis of names."""
        left, right, middle = self.across(low), self.across(high), self.up(y)
        self._parts.append(
            f'<rect class="bar {kind}" x="{left:.1f}" y="{middle - 7:.1f}"'
            f' width="{max(0.0, right - left):.1f}" height="14">{_title(title)}</rect>'
        )

    def text(
        self, x: float, y: float, words: str, kind: str = "", *, anchor: str = "start"
    ) -> None:
        """Write at a pixel."""
        self._parts.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def render(self) -> Markup:
        """Return the SVG."""
        kind = "chart wide" if self.wide else "chart"
        head = (
            f'<svg class="{kind}" viewBox="0 0 {self.width} {self.height}" role="img"'
            f' style="--natural:{self.width}px" aria-label="{escape(self.title)}">'
        )
        axes = "" if self.bare else self._axes()
        return Markup(head + axes + "".join(self._parts) + "</svg>")

    def _axes(self) -> str:
        left, right = self.left, self.width - self._RIGHT
        top, bottom = self._top, self.height - self._bottom
        parts = []
        for value, name in self.y.ticks(self.y_ticks):
            y = self.up(value)
            parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
            parts.append(
                f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{escape(_short(name, (left - 8) // 7))}</text>"
            )
        ticks = self.x.ticks(max(4, (right - left) // 70))
        for value, name in ticks:
            x = self.across(value)
            room = int((right - left) / max(1, len(ticks)) / 6)
            parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">'
                f"{escape(_short(name, max(3, room)))}</text>"
            )
        parts.append(f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>')
        if self.x_label:
            middle = (left + right) / 2
            parts.append(
                f'<text class="label" x="{middle:.0f}" y="{self.height - 6}" text-anchor="middle">'
                f"{escape(self.x_label)}</text>"
            )
        if self.y_label:
            parts.append(f'<text class="label" x="4" y="14">{escape(self.y_label)}</text>')
        return "".join(parts)

    def _xy(self, point: Point) -> str:
        return f"{_short_float(self.across(point[0]))} {_short_float(self.up(point[1]))}"

    def _path(self, points: Sequence[Point]) -> str:
        if not points:
            return ""
        return "M" + "L".join(self._xy(point) for point in points)

    def _shape(self, shape: str, point: Point) -> str:
        x, y = self.across(point[0]), self.up(point[1])
        if shape == "cross":
            return f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7"
        if shape == "square":
            return f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"
        if shape == "low":  # a triangle that points to where the value lies, off the chart
            return f"M{x - 4:.1f} {y - 7:.1f}h8l-4 6z"
        return f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0"


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def _short_float(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


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
