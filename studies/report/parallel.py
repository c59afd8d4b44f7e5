"""Parallel coordinates: each trial a line through its settings."""

import random
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from search_spaces.space import Choice
from studies.analysis.result import StudyResult
from studies.core.trials import TrialRecord
from studies.report.scales import Scale, names_scale, scale_of, short_names
from studies.report.svg import Chart
from studies.report.trial_figures import Figure, Values, tip

LINES, BEST = 160, 40
"""So many lines are drawn at most, and of the best tenth: more are a solid mass."""
_NONE = object()


def parallel(result: StudyResult, search: Sequence[TrialRecord], values: Values) -> Figure | None:
    """Draw each trial as a line through its settings; the best tenth stands out.

    Parameters of one setting, each for a choice of its own, share an axis.
    """
    space = result.plan.spec.space
    complete = [r for r in search if r.state == "COMPLETE" and r.value is not None]
    settings: dict[str, list[str]] = {}
    for name in space.parameters:
        if any(name in record.params for record in complete):
            settings.setdefault(space.setting(name), []).append(name)
    if len(complete) < 2 or not settings:
        return None
    axes: list[tuple[str, Scale, Callable[[TrialRecord], float | None]]] = []
    for setting, names in settings.items():
        parameters = [space.parameters[name] for name in names]

        def read(record: TrialRecord, names: Sequence[str] = names) -> object:
            return next((record.params[name] for name in names if name in record.params), _NONE)

        if all(isinstance(one, Choice) for one in parameters):
            listed = [str(c) for one in parameters if isinstance(one, Choice) for c in one.choices]
            places = {name: place for place, name in enumerate(dict.fromkeys(listed))}

            def place(
                record: TrialRecord,
                read: Callable[[TrialRecord], object] = read,
                places: Mapping[str, int] = places,
            ) -> float | None:
                found = read(record)
                return None if found is _NONE else float(places[str(found)])

            axes.append((setting, names_scale(places), place))
        else:
            ends = [
                float(end)
                for one in parameters
                if not isinstance(one, Choice)
                for end in (one.low, one.high)
            ]
            log = any(not isinstance(one, Choice) and one.log for one in parameters)

            def number(
                record: TrialRecord, read: Callable[[TrialRecord], object] = read
            ) -> float | None:
                found = read(record)
                return float(found) if isinstance(found, int | float) else None

            axes.append((setting, scale_of(ends, log=log and min(ends) > 0), number))
    axes.append((values.label, values.scale, lambda record: values.of(record.value or 0.0)))
    ranked = sorted(complete, key=lambda r: -values.sign * (r.value or 0.0))
    tenth = max(1, len(ranked) // 10)
    best, others = ranked[: min(BEST, tenth)], ranked[tenth:]
    if len(others) > LINES:
        others = random.Random(0).sample(others, LINES)
    chart = _ParallelChart([(name, scale) for name, scale, _ in axes])
    for records, kind in ((others, "faint"), (best, "best")):
        lines = [[read(record) for _, _, read in axes] for record in records]
        chart.draw(lines, kind, [tip(record, values) for record in records])
    n = len(best)
    said = f"Each line is a trial that ran its full budget; the best {n} stand out."
    if any(len(names) > 1 for names in settings.values()):
        said += " Parameters that set the same thing share an axis."
    said += " A line ends at the bottom where a trial has no such setting."
    if any(values.off(record.value or 0.0) for record in (*best, *others)):
        said += f" Values off the axis of {values.metric} are drawn at its end."
    if len(others) + n < len(complete):
        said += f" {len(others) + n} of {len(complete)} are drawn."
    return Figure("Parallel coordinates", chart.render(), said)


class _ParallelChart:
    """Upright axes side by side; a line goes through a place on each."""

    def __init__(self, axes: Sequence[tuple[str, Scale]]) -> None:
        self._axes = axes
        self._gap = 118
        self._chart = Chart(
            Scale(0, 1),
            Scale(0, 1),
            "Parallel coordinates: a line for each trial through its settings",
            width=60 + self._gap * (len(axes) - 1) + 96,
            height=300,
            left=0,
            wide=True,
            bare=True,
        )

    def draw(
        self, lines: Sequence[Sequence[float | None]], kind: str, titles: Sequence[str]
    ) -> None:
        for line, title in zip(lines, titles, strict=True):
            points = " ".join(
                f"{self._x(index)} {self._y(index, value):.0f}" for index, value in enumerate(line)
            )
            tip = Markup("<title>{}</title>").format(title) if kind == "best" else ""
            self._chart._parts.append(
                f'<polyline class="line {kind}" points="{points}">{tip}</polyline>'
            )

    def render(self) -> Markup:
        chart = self._chart
        shown = short_names([name for name, _ in self._axes], 34)
        for index, (_, scale) in enumerate(self._axes):
            x = self._x(index)
            chart._parts.append(f'<path class="axis" d="M{x} 40V260"/>')
            chart.text(x, 24 - 14 * (index % 2), shown[index], "label", anchor="middle")
            ticks = scale.ticks(5)
            words = short_names([tick for _, tick in ticks], 12)
            for (value, _), word in zip(ticks, words, strict=True):
                chart.text(x + 5, self._y(index, value) + 4, word, "tick halo")
        svg = chart.render()
        return svg

    def _x(self, index: int) -> int:
        return 50 + self._gap * index

    def _y(self, index: int, value: float | None) -> float:
        if value is None:
            return 284.0
        return 260 - 220 * self._axes[index][1].at(value)
