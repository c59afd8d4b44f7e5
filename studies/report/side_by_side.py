"""Several studies on one page: on shared axes, with their differences and the verdict."""

from collections.abc import Sequence

from mnist_core.errors import UserError
from mnist_core.files import from_here
from studies.analysis import figure_data
from studies.analysis.comparison import Comparison, compare
from studies.analysis.result import Row
from studies.analysis.scales import Scale, Values, names_scale, room_for, scale_of, values_of
from studies.analysis.stored_study import Stored
from studies.core.formatting import gap_text, is_share, metric_text
from studies.report.blocks import (
    Block,
    Details,
    Facts,
    Figure,
    Figures,
    Heading,
    Notes,
    Section,
    Table,
    Text,
)
from studies.report.comparison_tables import comparison_cells, comparison_head, comparison_notes
from studies.report.svg import Chart
from studies.statistics.intervals import Interval

_SHAPES = ("diamond", "square", "ring", "cross")
_ROWS = 60
"""Confirmed configurations in the shared chart at most."""


def side_by_side(found: Sequence[Stored]) -> Section:
    """Return the section that compares two or more studies; the first one is A."""
    names = [f"{chr(ord('A') + i % 26)}: {one.plan.name}" for i, one in enumerate(found)]
    places = tuple(
        (name, f"{from_here(one.plan.folder)}, {one.phase}")
        for name, one in zip(names, found, strict=True)
    )
    blocks: list[Block] = [Facts(places)]
    metrics = {one.plan.spec.metric for one in found}
    if len(metrics) == 1:
        values = _shared(found)
        drawn = [_confirmed(found, names), _best_so_far(found, names, values)]
        blocks.append(Figures(tuple(one for one in drawn if one is not None)))
    else:
        blocks.append(Text(f"They measure {' and '.join(sorted(metrics))}: no axis is shared."))
    for name, other in zip(names[1:], found[1:], strict=True):
        blocks += [Heading(f"{name}, less {names[0]}"), *_verdict(found[0], other)]
    return Section("compare", "Side by side", tuple(blocks))


def _verdict(a: Stored, b: Stored) -> list[Block]:
    try:
        found = compare(a, b)
    except UserError as error:
        return [Text(f"Not compared: {error}.")]
    differences = [
        (title, "; ".join(lines) or "the same")
        for title, lines in (("environment", found.environment), ("settings", found.settings))
    ]
    table = Table(
        caption="B less A with 95 % intervals, and what both measured",
        head=_difference_first(comparison_head(found)),
        rows=tuple(map(_difference_first, comparison_cells(found))),
    )
    return [
        Text(found.verdict.sentence),
        Figures((_differences(found),), below=True),
        table,
        Notes(tuple(comparison_notes(found))),
        Details("What differs between them", (Facts(tuple(differences)),)),
    ]


def _difference_first(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Put the difference before the values of A and B: a phone shows two columns."""
    label, a, b, difference, *more = cells
    return (label, difference, a, b, *more)


def _differences(found: Comparison) -> Figure:
    """Draw what B is more than A, a row for each thing that both measured."""
    metric, rows = found.metric, found.gaps[:_ROWS]
    values = Values(metric, 1.0, Scale(0.0, 1.0))
    labels = [row.label for row in rows]
    chart = Chart(
        scale_of([0.0, *(values.of(end) for end in _ends([row.gap for row in rows]))]),
        names_scale(labels),
        "B less A with its interval, for each thing that both measured",
        x_label=f"B less A, {'points' if is_share(metric) else metric}",
        y_label="configuration",
        height=72 + 26 * len(rows),
        left=room_for(labels),
    )
    chart.line([(0.0, chart.y.low), (0.0, chart.y.high)], "limit")
    for place, row in enumerate(rows):
        shown = row.gap.low > 0 or row.gap.high < 0
        shape, kind = ("dot", "complete") if shown else ("ring", "worse")
        if row.gap.n > 1:
            chart.whisker(place, values.of(row.gap.low), values.of(row.gap.high), kind)
        said = f"{row.label}: {gap_text(metric, row.gap)}"
        chart.marks([(values.of(row.gap.mean), float(place))], f"{shape} big {kind}", [said])
    said = (
        "Dots: B differs from A, as the 95 % interval does not include 0 (dashed line); rings: no"
        " difference is shown."
    )
    return Figure("Differences", chart.render(), said)


def _ends(intervals: Sequence[Interval]) -> list[float]:
    """Return the values that an axis must hold: all means, and the ends of usual intervals."""
    # The interval of a configuration with collapsed seeds would squash all others into a line.
    widths = sorted(one.high - one.low for one in intervals if one.n > 1)
    most = 4 * widths[len(widths) // 2] if widths else 0.0
    usual = [one for one in intervals if one.n > 1 and one.high - one.low <= most]
    ends = [end for one in usual for end in (one.low, one.high)]
    return [one.mean for one in intervals] + ends


def _shared(found: Sequence[Stored]) -> Values:
    """Return one axis for the values of all of them."""
    spec = found[0].plan.spec
    ended = [r.value or 0.0 for one in found for r in figure_data.complete(one.search)]
    return values_of(spec.metric, spec.direction, ended)


def _confirmed(found: Sequence[Stored], names: Sequence[str]) -> Figure | None:
    """Draw what each study has confirmed, the configurations of one label beneath each other."""
    rows: list[tuple[str, int, Row, Interval]] = []
    for index, one in enumerate(found):
        if one.result is not None:
            rows += [(row.label, index, row, of) for row, of in figure_data.forest(one.result)]
    first = {label: place for place, (label, *_) in reversed(list(enumerate(rows)))}
    rows = sorted(rows, key=lambda row: (first[row[0]], row[1]))[:_ROWS]
    judged = {one.result.judged_metric for one in found if one.result is not None}
    if not rows or len(judged) > 1:
        return None
    metric = judged.pop()
    values = Values(metric, 1.0, Scale(0.0, 1.0))
    labels = [f"{label} {names[index][0]}" for label, index, *_ in rows]
    chart = Chart(
        scale_of([values.of(end) for end in _ends([of for *_, of in rows])]),
        names_scale(labels),
        "Confirmed values of all studies on one axis",
        x_label=values.label,
        y_label="configuration, study",
        height=72 + 22 * len(rows),
        left=room_for(labels),
    )
    for place, (label, index, _, of) in enumerate(rows):
        kind = f"choice{index % 8}"
        if of.n > 1:
            chart.whisker(place, values.of(of.low), values.of(of.high), kind)
        said = f"{names[index]}, {label}: {metric_text(metric, of.mean)}"
        shape = _SHAPES[index % len(_SHAPES)]
        chart.marks([(values.of(of.mean), float(place))], f"{shape} {kind}", [said])
    said = "Means over fresh seeds with their 95 % intervals; each study has a shape and a letter."
    return Figure("Confirmed on fresh seeds", chart.render(), said)


def _best_so_far(found: Sequence[Stored], names: Sequence[str], values: Values) -> Figure | None:
    """Draw the best value so far of each study over its trials."""
    most = max((len(one.search) for one in found), default=0)
    longest = max(map(len, names[:8]), default=0)
    chart = Chart(
        Scale(-0.5, max(1.0, most - 0.5), whole=True),
        values.scale,
        "The best value so far of each study",
        x_label="trial",
        y_label=values.label,
        right=16 + 8 * min(24, longest),
    )
    ends: dict[str, tuple[float, float]] = {}
    for index, (name, one) in enumerate(zip(names[:8], found[:8], strict=True)):
        best = figure_data.history(one.search, values.sign).best
        if not best:
            continue
        points = [(float(number), values.of(value)) for number, value in best]
        end = float(len(one.search) - 1)
        chart.steps([*points, (end, points[-1][1])], f"choice{index}")
        ends[name] = (end, points[-1][1])
    if not ends:
        return None
    for name, at in chart.apart({name: y for name, (_, y) in ends.items()}).items():
        chart.text(chart.across(ends[name][0]) + 6, at + 4, name[:24], "label end")
    said = "A line for each study: the best trial of full budget so far, in the order of trials."
    return Figure("Best so far", chart.render(), said)
