"""Parameters: parallel coordinates, the value over each parameter, the search space."""

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data
from studies.analysis.importance import importance
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, Values, room_for, short_names
from studies.core.trials import TrialRecord
from studies.report.blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Heading,
    Material,
    Section,
    Table,
    Text,
)
from studies.report.overview import describe_parameter
from studies.report.svg import Chart, draw_trials, tip

_PLANES = (
    "Each dot is a trial that ran its full budget, over two of the settings that matter most. The"
    " larger a dot and the stronger its colour, the better: each size is a fifth of the trials."
)
LINES, BEST = 160, 40
"""Lines that are drawn at most, and those of the best tenth: more are a solid mass."""
_GAP, _TOP, _BOTTOM, _NONE = 118, 40, 260, 284
"""Pixels between two axes, of the ends of an axis, and of a line without such a setting."""


def section(page: Material) -> Section:
    """Return the section."""
    blocks: list[Block] = []
    lines = parallel(page.result, page.search, page.values)
    if lines is not None:
        blocks.append(lines)
    if pairs := two_at_once(page):
        shown = Figures(tuple(pairs), small=True, below=True)
        blocks += [Heading("Two at once"), Text(_PLANES), shown]
    if drawn := slices(page.result, page.search, page.values):
        said = (
            "Value of each trial that ran its full budget over one parameter; a ring marks the"
            " best, triangles lie off the chart."
        )
        figures = Figures(tuple(drawn), small=True, below=True)
        blocks += [Heading("One by one"), Text(said), figures]
    blocks.append(Details("The search space", (space(page.result),)))
    return Section("parameters", "Parameters", tuple(blocks))


def two_at_once(page: Material) -> list[Figure]:
    """Draw the most important settings in pairs, coloured by the value."""
    spec = page.result.plan.spec
    found = importance(spec, page.search, draws=1)
    ranked = [share.name for share in found.shares if share.name != spec.scientific]
    figures = []
    for plane in figure_data.planes(spec.space, page.search, ranked, page.values.sign, most=3):
        (x, y), (across, up) = plane.names, plane.scales
        chart = Chart(
            across,
            up,
            f"{y} over {x}, coloured by the value",
            x_label=_axis_name(x, across),
            y_label=_axis_name(y, up),
            width=250,
            height=226,
            left=min(84, room_for(up.names)) if up.names else 44,
            y_ticks=4,
        )
        for fifth, trials in enumerate(plane.classes):
            titles = [tip(record, page.values) for record, _ in trials]
            chart.marks([at for _, at in trials], f"dot fifth{fifth}", titles)
        n = sum(map(len, plane.classes))
        figures.append(Figure(f"{y} over {x}", chart.render(), counted(n, "trial")))
    return figures


def _axis_name(name: str, scale: Scale) -> str:
    return f"{name}, logarithmic" if scale.log else name


def slices(result: StudyResult, search: list[TrialRecord], values: Values) -> list[Figure]:
    """Draw the value over each nuisance parameter."""
    spec, figures = result.plan.spec, []
    for one in figure_data.slices(spec, search, values.sign):
        chart = Chart(
            one.scale,
            values.scale,
            f"Value over {one.name}",
            x_label=_axis_name(one.name, one.scale),
            y_label=values.label,
            width=250,
            height=202,
            left=40,
            y_ticks=4,
        )
        draw_trials(chart, one.records, one.at, values, "dot complete")
        if one.best is not None:
            draw_trials(chart, [one.records[one.best]], [one.at[one.best]], values, "ring best")
        when = spec.space.parameters[one.name].when
        said = f"when {when.parameter} is {', '.join(map(str, when.values))}; " if when else ""
        said += counted(len(one.records), "trial")
        figures.append(Figure(one.name, chart.render(), said))
    return figures


def parallel(result: StudyResult, search: list[TrialRecord], values: Values) -> Figure | None:
    """Draw each trial as a line through its settings; the best tenth stands out."""
    space = result.plan.spec.space
    found = figure_data.parallel(space, search, values, best=BEST, others=LINES)
    if found is None:
        return None
    chart = Chart(
        Scale(0, 1),
        Scale(0, 1),
        "Parallel coordinates: a line for each trial through its settings",
        width=60 + _GAP * (len(found.axes) - 1) + 96,
        height=300,
        left=0,
        wide=True,
        bare=True,
    )
    scales = [scale for _, scale in found.axes]
    # The best are drawn last, above the others.
    for records, kind in ((found.others, "faint"), (found.best, "best")):
        for record in records:
            line = [(_x(i), _y(scales[i], read(record))) for i, read in enumerate(found.read)]
            chart.polyline(line, kind, title=tip(record, values) if kind == "best" else "")
    shown = short_names([name for name, _ in found.axes], 34)
    for index, scale in enumerate(scales):
        x = _x(index)
        chart.upright(x, _TOP, _BOTTOM)
        # Names of neighbouring axes stand at two heights, as they are wider than the gap.
        chart.text(x, 24 - 14 * (index % 2), shown[index], "label", anchor="middle")
        ticks = scale.ticks(5)
        words = short_names([tick for _, tick in ticks], 12)
        for (value, _), word in zip(ticks, words, strict=True):
            chart.text(x + 5, _y(scale, value) + 4, word, "tick halo")
    n, drawn = len(found.best), len(found.best) + len(found.others)
    best = f"the best {n} stand" if n > 1 else "the best one stands"
    said = f"Each line is a trial that ran its full budget; {best} out."
    if found.shared:
        said += " Parameters that set the same thing share an axis."
    said += " A line ends at the bottom where a trial has no such setting."
    if any(values.off(record.value or 0.0) for record in (*found.best, *found.others)):
        said += f" Values off the axis of {values.metric} are drawn at its end."
    if drawn < found.total:
        said += f" {drawn} of {found.total} are drawn."
    return Figure("Parallel coordinates", chart.render(), said)


def _x(index: int) -> int:
    return 50 + _GAP * index


def _y(scale: Scale, value: float | None) -> float:
    return _NONE if value is None else _BOTTOM - (_BOTTOM - _TOP) * scale.at(value)


def space(result: StudyResult) -> Table:
    """Return the parameters with their roles."""
    spec = result.plan.spec
    return Table(
        caption="The search space",
        head=("parameter", "role", "values"),
        rows=tuple(
            (
                name,
                spec.role(name),
                describe_parameter(name, parameter),
            )
            for name, parameter in spec.space.parameters.items()
        ),
    )
