"""Charts as inline SVG: small, crisp, and coloured by the page, so that they follow its theme.

Nothing is coloured here: lines and marks have classes (``report.css`` says what they look like in
light and dark), kinds of marks differ in shape as well. Every text is escaped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from studies.report.clipping import clipped
from studies.report.scales import Scale, short_names

Point = tuple[float, float]

_SLANTED = 11
"""Characters of a name that is written aslant."""
_TITLED = 400
"""More points than so many have no tooltips; they are one path of a few bytes a point."""


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
        return (40 if self.x_label else 22) + self._slant

    @property
    def _slant(self) -> int:
        """The pixels that names below take if they are written aslant; 0: they fit as they are."""
        room = (self.width - self.left - self._RIGHT) / max(1, len(self.x.names))
        longest = max(map(len, self.x.names), default=0)
        return round(4.2 * min(longest, _SLANTED)) if longest * 6.5 > room else 0

    @property
    def _tall(self) -> int:
        return self.height + self._slant

    def across(self, value: float) -> float:
        """Return the pixel of a value on the lower axis."""
        return self.left + self.x.at(value) * (self.width - self.left - self._RIGHT)

    def up(self, value: float) -> float:
        """Return the pixel of a value on the upright axis."""
        share, room = self.y.at(value), self._tall - self._top - self._bottom
        return self._top + room * (share if self.y.names else 1 - share)

    def line(self, points: Iterable[Point], kind: str, *, title: str = "") -> None:
        """Draw a line through ``points``."""
        self.lines([list(points)], kind, title=title)

    def lines(self, many: Iterable[Sequence[Point]], kind: str, *, title: str = "") -> None:
        """Draw many lines of one kind, as one path; what lies off the chart is left out.

        A line of one point is a dot.
        """
        path = dots = ""
        for points in many:
            for piece in clipped([(self.x.share(x), self._up_share(y)) for x, y in points]):
                places = [self._pixels(*place) for place in piece]
                if len(places) == 1:
                    dots += f"M{places[0]}h0"
                else:
                    path += "M" + "L".join(places)
        if path:
            self._parts.append(f'<path class="line {kind}" d="{path}">{_title(title)}</path>')
        if dots:
            self._parts.append(f'<path class="dots {kind}" d="{dots}">{_title(title)}</path>')

    def steps(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line that stays at a value until the next one."""
        drawn: list[Point] = []
        for x, y in points:
            if drawn:
                drawn.append((x, drawn[-1][1]))
            drawn.append((x, y))
        self.line(drawn, kind)

    def marks(self, points: Sequence[Point], kind: str, titles: Sequence[str] = ()) -> None:
        """Draw a mark at each point; ``kind`` begins with dot, ring, cross, square or diamond.

        A point below or above the chart is a triangle at its edge that points to where it lies.
        """
        _, _, rest = kind.partition(" ")
        sides = [self.y.off(y) for _, y in points]
        for side, shown in ((-1, f"low {rest}"), (1, f"high {rest}"), (0, kind)):
            which = [index for index, at in enumerate(sides) if at == side]
            self._marks([points[i] for i in which], shown, [titles[i] for i in which if titles])

    def _marks(self, points: Sequence[Point], kind: str, titles: Sequence[str]) -> None:
        shape = kind.split()[0]
        if len(points) > _TITLED:
            kind = f"{kind} many"
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
            f'<svg class="{kind}" viewBox="0 0 {self.width} {self._tall}" role="img"'
            f' style="--natural:{self.width}px" aria-label="{escape(self.title)}">'
        )
        axes = "" if self.bare else self._axes()
        return Markup(head + axes + "".join(self._parts) + "</svg>")

    def _axes(self) -> str:
        left, right = self.left, self.width - self._RIGHT
        top, bottom = self._top, self._tall - self._bottom
        parts = []
        ticks = self.y.ticks(self.y_ticks)
        shown = short_names([name for _, name in ticks], (left - 8) // 7)
        for (value, name), words in zip(ticks, shown, strict=True):
            y = self.up(value)
            parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
            parts.append(
                f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{escape(words)}{_title(name if words != name else '')}</text>"
            )
        ticks = self.x.ticks(max(4, (right - left) // 70))
        slant = bool(self._slant)
        shown = short_names([name for _, name in ticks], _SLANTED if slant else 24)
        for (value, name), words in zip(ticks, shown, strict=True):
            x = self.across(value)
            parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
            turn = f' transform="rotate(-40 {x:.1f} {bottom + 12})"' if slant else ""
            anchor = "end" if slant else "middle"
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + (12 if slant else 16)}"'
                f' text-anchor="{anchor}"{turn}>'
                f"{escape(words)}{_title(name if words != name else '')}</text>"
            )
        parts.append(f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>')
        if self.x_label:
            middle = (left + right) / 2
            parts.append(
                f'<text class="label" x="{middle:.0f}" y="{self._tall - 6}" text-anchor="middle">'
                f"{escape(self.x_label)}</text>"
            )
        if self.y_label:
            parts.append(f'<text class="label" x="4" y="14">{escape(self.y_label)}</text>')
        return "".join(parts)

    def _up_share(self, value: float) -> float:
        """Return how far up a value lies: 0 at the bottom, 1 at the top."""
        share = self.y.share(value)
        return 1 - share if self.y.names else share

    def _pixels(self, across: float, up: float) -> str:
        x = self.left + across * (self.width - self.left - self._RIGHT)
        y = self._top + (1 - up) * (self._tall - self._top - self._bottom)
        return f"{_short_float(x)} {_short_float(y)}"

    def _xy(self, point: Point) -> str:
        return f"{_short_float(self.across(point[0]))} {_short_float(self.up(point[1]))}"

    def _shape(self, shape: str, point: Point) -> str:
        x, y = self.across(point[0]), self.up(point[1])
        if shape == "cross":
            return f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7"
        if shape == "diamond":
            return f"M{x - 7:.1f} {y:.1f}l7 -7l7 7l-7 7z"
        if shape == "square":
            return f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"
        if shape == "low":  # a triangle that points to where the value lies, below the chart
            return f"M{x - 4:.1f} {y - 7:.1f}h8l-4 6z"
        if shape == "high":
            return f"M{x - 4:.1f} {y + 7:.1f}h8l-4 -6z"
        return f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0"


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _short_float(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
