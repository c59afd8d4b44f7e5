"""Charts as inline SVG. Lines and marks have classes, which ``report.css`` colours.

Kinds of marks differ in shape as well as in colour. Every text is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from studies.analysis.scales import Scale, Values, short_names
from studies.core.formatting import params_text
from studies.core.trials import TrialRecord
from studies.report.clipping import clipped

Point = tuple[float, float]

_SLANTED = 11
"""Characters of a name that is written at an angle."""
_LINE = 13
"""Pixels between two names behind lines."""
_TITLED = 400
"""More points than this have no tooltips; they are one path of a few bytes a point."""


@dataclass
class Chart:
    """A chart of ``width`` pixels.

    Attributes:
        y: scale from bottom to top; one with names runs from top to bottom.
        left: room for the names of the upright axis.
        right: room for words behind the lines.
        wide: whether it may be as wide as the page.
        bare: whether it has no axes of its own.
        y_ticks: about how many values of the upright axis are named.
    """

    x: Scale
    y: Scale
    title: str
    x_label: str = ""
    y_label: str = ""
    width: int = 460
    height: int = 280
    left: int = 52
    right: int = 12
    wide: bool = False
    bare: bool = False
    y_ticks: int = 5
    _parts: list[str] = field(default_factory=list)

    @property
    def _top(self) -> int:
        return 24 if self.y_label else 8

    @property
    def _bottom(self) -> int:
        return (40 if self.x_label else 22) + self._slant

    @property
    def _slant(self) -> int:
        """Pixels that names on the lower axis take at an angle; 0: they fit as they are."""
        # A letter of a tick is about 6.5 pixels wide, and 4.2 high when it stands at an angle.
        room = (self.width - self.left - self.right) / max(1, len(self.x.names))
        longest = max(map(len, self.x.names), default=0)
        return round(4.2 * min(longest, _SLANTED)) if longest * 6.5 > room else 0

    @property
    def _tall(self) -> int:
        return self.height + self._slant

    def across(self, value: float) -> float:
        """Return the pixel of a value on the lower axis."""
        return self.left + self.x.at(value) * (self.width - self.left - self.right)

    def up(self, value: float) -> float:
        """Return the pixel of a value on the upright axis."""
        share, room = self.y.at(value), self._tall - self._top - self._bottom
        return self._top + room * (share if self.y.names else 1 - share)

    def line(self, points: Iterable[Point], kind: str, *, title: str = "") -> None:
        """Draw a line through ``points``."""
        self.lines([list(points)], kind, title=title)

    def lines(self, many: Iterable[Sequence[Point]], kind: str, *, title: str = "") -> None:
        """Draw many lines as one path, without what lies off the chart; a single point is a dot."""
        # One path for all: a page of 2,000 trials must stay small.
        path = dots = ""
        for points in many:
            for piece in clipped([(self.x.share(x), self._up_share(y)) for x, y in points]):
                places = [self._pixels(*place) for place in piece]
                if len(places) == 1:
                    dots += f"M{places[0]}h0"
                else:
                    path += "M" + "L".join(places)
        self.path(f"line {kind}", path, title)
        self.path(f"dots {kind}", dots, title)

    def steps(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line that stays at a value until the next one."""
        drawn: list[Point] = []
        for x, y in points:
            if drawn:
                drawn.append((x, drawn[-1][1]))
            drawn.append((x, y))
        self.line(drawn, kind)

    def marks(self, points: Sequence[Point], kind: str, titles: Sequence[str] = ()) -> None:
        """Draw a mark at each point; ``kind`` begins with its shape, see ``_shape``."""
        _, _, rest = kind.partition(" ")
        sides = [self.y.off(y) for _, y in points]
        # Triangles at the edge say that there is more: without them a bad trial would be invisible.
        for side, shown in ((-1, f"low {rest}"), (1, f"high {rest}"), (0, kind)):
            which = [index for index, at in enumerate(sides) if at == side]
            self._marks([points[i] for i in which], shown, [titles[i] for i in which if titles])

    def _marks(self, points: Sequence[Point], kind: str, titles: Sequence[str]) -> None:
        shape, many = kind.split()[0], len(points) > _TITLED
        group = "dots" if shape == "dot" else "mark"
        paths = [self._shape(shape, point) for point in points]
        if many or not titles:
            self.path(f"{group} {kind}{' many' if many else ''}", "".join(paths))
            return
        for path, title in zip(paths, titles, strict=True):
            self.path(f"{group} {kind}", path, title)

    def path(self, kinds: str, path: str, title: str = "") -> None:
        """Draw a path of pixels, unless it is empty."""
        if path:
            self._parts.append(f'<path class="{kinds}" d="{path}">{_title(title)}</path>')

    def area(self, low: Sequence[Point], high: Sequence[Point], kind: str) -> None:
        """Fill what lies between two lines, as far as it is on the chart."""
        around = [*high, *reversed(low)]
        places = [f"{self.across(x):.0f} {self.up(y):.0f}" for x, y in around]
        self.path(f"area {kind}", f"M{'L'.join(places)}z" if len(low) > 1 else "")

    def whisker(self, y: float, low: float, high: float, kind: str = "whisker") -> None:
        """Draw an interval at place ``y`` of an axis of names."""
        self.line([(low, y), (high, y)], f"whisker {kind}")

    def polyline(self, pixels: Iterable[tuple[int, float]], kind: str, *, title: str) -> None:
        """Draw a line through pixels."""
        places = " ".join(f"{x} {y:.0f}" for x, y in pixels)
        self._parts.append(
            f'<polyline class="line {kind}" points="{places}">{_title(title)}</polyline>'
        )

    def upright(self, x: int, top: int, bottom: int) -> None:
        """Draw an upright axis at pixel ``x``."""
        self.path("axis", f"M{x} {top}V{bottom}")

    def text(
        self, x: float, y: float, words: str, kind: str = "", *, anchor: str = "start"
    ) -> None:
        """Write at a pixel."""
        self._parts.append(_text(f"{x:.1f}", f"{y:.1f}", words, kind, anchor))

    def apart(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return at which pixel the name of each value stands: names do not cover each other."""
        found: dict[str, float] = {}
        below = 0.0
        for at, name in sorted((self.up(value), name) for name, value in values.items()):
            below = max(at, below + _LINE if found else at)
            found[name] = below
        # They grow downwards; as many pixels as they leave the chart they move up.
        over = max(0.0, below - self.up(self.y.low))
        return {name: at - over for name, at in found.items()}

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
        left, right = self.left, self.width - self.right
        top, bottom = self._top, self._tall - self._bottom
        parts = []
        ticks = self.y.ticks(self.y_ticks)
        shown = short_names([name for _, name in ticks], (left - 8) // 7)
        for (value, name), words in zip(ticks, shown, strict=True):
            y = self.up(value)
            parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
            title = name if words != name else ""
            parts.append(_text(f"{left - 6}", f"{y + 4:.1f}", words, "tick", "end", title=title))
        ticks = self.x.ticks(max(4, (right - left) // 70))
        slant = bool(self._slant)
        shown = short_names([name for _, name in ticks], _SLANTED if slant else 24)
        for (value, name), words in zip(ticks, shown, strict=True):
            x = f"{self.across(value):.1f}"
            parts.append(f'<path class="grid" d="M{x} {top}V{bottom}"/>')
            turn = f' transform="rotate(-40 {x} {bottom + 12})"' if slant else ""
            anchor, below = ("end", 12) if slant else ("middle", 16)
            title = name if words != name else ""
            parts.append(
                _text(x, f"{bottom + below}", words, "tick", anchor, turn=turn, title=title)
            )
        parts.append(f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>')
        if self.x_label:
            middle = f"{(left + right) / 2:.0f}"
            parts.append(_text(middle, f"{self._tall - 6}", self.x_label, "label", "middle"))
        if self.y_label:
            parts.append(_text("4", "14", self.y_label, "label", "start"))
        return "".join(parts)

    def _up_share(self, value: float) -> float:
        """Return how far up a value lies: 0 at the bottom, 1 at the top."""
        share = self.y.share(value)
        return 1 - share if self.y.names else share

    def _pixels(self, across: float, up: float) -> str:
        x = self.left + across * (self.width - self.left - self.right)
        y = self._top + (1 - up) * (self._tall - self._top - self._bottom)
        return f"{_short_float(x)} {_short_float(y)}"

    def _shape(self, shape: str, point: Point) -> str:
        x, y = self.across(point[0]), self.up(point[1])
        if shape == "dot":  # a line of no length with round ends
            return f"M{_short_float(x)} {_short_float(y)}h0"
        if shape == "cross":
            return f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7"
        if shape == "diamond":
            return f"M{x - 7:.1f} {y:.1f}l7 -7l7 7l-7 7z"
        if shape == "square":
            return f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"
        if shape == "upright":
            return f"M{x:.1f} {y - 8:.1f}v16"
        if shape == "low":  # a triangle that points to where the value lies, below the chart
            return f"M{x - 4:.1f} {y - 7:.1f}h8l-4 6z"
        if shape == "high":
            return f"M{x - 4:.1f} {y + 7:.1f}h8l-4 -6z"
        return f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0"


def tip(record: TrialRecord, values: Values) -> str:
    """Return what stands beside the pointer on a trial."""
    return f"trial {record.number}: {values.text(record.value)}; {params_text(record.params)}"


def draw_trials(
    chart: Chart,
    records: Sequence[TrialRecord],
    at: Sequence[float],
    values: Values,
    kind: str,
) -> None:
    """Draw trials that have a value as marks of ``kind``, each at its place on the lower axis."""
    points = [(x, values.of(r.value or 0.0)) for x, r in zip(at, records, strict=True)]
    chart.marks(points, kind, [tip(record, values) for record in records])


def _text(
    x: str, y: str, words: str, kind: str, anchor: str, *, turn: str = "", title: str = ""
) -> str:
    head = f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}"{turn}>'
    return f"{head}{escape(words)}{_title(title)}</text>"


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _short_float(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
