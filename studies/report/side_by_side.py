"""Several studies on one page: on shared axes, with their differences and the verdict."""

from collections.abc import Sequence

from mnist_core.errors import UserError
from mnist_core.files import from_here
from studies.analysis import figure_data
from studies.analysis.comparison import compare
from studies.analysis.result import Row
from studies.analysis.scales import Scale, Values, names_scale, room_for, scale_of, values_of
from studies.analysis.stored_study import Stored
from studies.core.formatting import metric_text
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
        caption="What both measured, and B less A with 95 % intervals",
        head=comparison_head(found),
        rows=tuple(comparison_cells(found)),
    )
    return [
        Text(found.verdict.sentence),
        table,
        Notes(tuple(comparison_notes(found))),
        Details("What differs between them", (Facts(tuple(differences)),)),
    ]


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
    ends = [values.of(end) for *_, of in rows for end in (of.mean, of.low, of.high) if of.n > 1]
    chart = Chart(
        scale_of(ends or [values.of(of.mean) for *_, of in rows]),
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
    drawn = 0
    for index, (name, one) in enumerate(zip(names[:8], found[:8], strict=True)):
        best = figure_data.history(one.search, values.sign).best
        if not best:
            continue
        points = [(float(number), values.of(value)) for number, value in best]
        end = float(len(one.search) - 1)
        chart.steps([*points, (end, points[-1][1])], f"choice{index}")
        at = chart.up(points[-1][1])
        chart.text(chart.across(end) + 6, at + 4 + 12 * index, name[:24], "label end")
        drawn += 1
    if not drawn:
        return None
    said = "A line for each study: the best trial of full budget so far, in the order of trials."
    return Figure("Best so far", chart.render(), said)
