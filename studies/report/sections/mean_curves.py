"""Mean curves of each choice with their bands: the metric, and beside it the losses."""

from collections.abc import Sequence

from studies.analysis import figure_data
from studies.analysis.figure_data import Band
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, Values, scale_of, values_of
from studies.core.event_log import FILE as EVENTS
from studies.report.blocks import Figure, Material
from studies.report.svg import Chart, Point

SHOWN = 8
"""Choices in one chart at most: each has a colour and a dash of its own in ``report.css``."""
_POINTS = 60
_LETTERS = 16
"""Letters of a choice's name at the end of its line."""


def figures(page: Material) -> list[Figure]:
    """Return a chart of the metric, and one for each loss that the event log has."""
    spec, values = page.result.plan.spec, page.wide
    curves = {record.number: record.curve for record in page.search}
    found = figure_data.bands(spec, page.search, curves)
    if not found:
        return []
    shown = _chosen(page.result, found)
    scaled = [_scaled(values, band) for band in found if band.choice in shown]
    # The first reports, and the worst choices, are far from what is to be seen.
    late = [y for band in found for x, y in band.mean if 2 * x >= band.mean[-1][0]]
    scale = values_of(spec.metric, spec.direction, late).scale
    drawn = [_figure(page.result, spec.metric, values.label, scale, scaled, len(found))]
    for name, reported in figure_data.losses(page.result.plan.folder / EVENTS).items():
        if name == spec.metric:
            continue
        bands = figure_data.bands(spec, page.search, reported)
        kept = [band for band in bands if band.choice in shown]
        ends = [y for band in kept for line in (band.low, band.mean, band.high) for _, y in line]
        if ends:
            scale = scale_of(ends, log=min(ends) > 0)
            drawn.append(_figure(page.result, name, name, scale, kept, len(bands)))
    return drawn


def step_name(result: StudyResult) -> str:
    """Return what the axis of reports counts."""
    adapter = result.plan.adapter
    epochs = result.plan.spec.own is None and adapter.reports_per_epoch == 1
    return "epoch" if epochs else "report"


def _chosen(result: StudyResult, found: Sequence[Band]) -> set[str]:
    """Return the choices that are drawn: all, or those that end best."""
    sign = result.plan.goals.sign
    ranked = sorted(found, key=lambda band: -sign * band.mean[-1][1] if band.mean else 0.0)
    return {band.choice for band in ranked[:SHOWN]}


def _scaled(values: Values, band: Band) -> Band:
    def scaled(points: Sequence[Point]) -> list[Point]:
        return [(x, values.of(y)) for x, y in points]

    return Band(
        choice=band.choice,
        trials=band.trials,
        mean=scaled(band.mean),
        low=scaled(band.low),
        high=scaled(band.high),
    )


def _figure(
    result: StudyResult, name: str, label: str, scale: Scale, bands: Sequence[Band], of: int
) -> Figure:
    last = max((x for band in bands for x, _ in band.mean), default=1.0)
    first = min((x for band in bands for x, _ in band.mean), default=0.0)
    longest = max((min(_LETTERS, len(band.choice)) for band in bands), default=0)
    chart = Chart(
        Scale(min(first, last - 1), last, whole=True),
        scale,
        f"Mean {name} of each choice, with the middle half of its trials",
        x_label=step_name(result),
        y_label=f"{label}, logarithmic" if scale.log else label,
        height=300,
        right=16 + 8 * longest,
    )
    ends = chart.apart({band.choice: band.mean[-1][1] for band in bands if band.mean})
    for index, band in enumerate(bands):
        low, high = (figure_data.thinned(line, _POINTS) for line in (band.low, band.high))
        chart.area(low, high, f"choice{index}")
    for index, band in enumerate(bands):
        title = f"{band.choice}: mean of {band.trials}"
        chart.line(figure_data.thinned(band.mean, _POINTS), f"choice{index}", title=title)
        if band.choice in ends:
            word = band.choice
            word = word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…"
            chart.text(chart.across(last) + 6, ends[band.choice] + 4, word, "label end")
    said = (
        "Line: mean of the trials that ran their full budget; band: the middle half of them."
        " Pruned trials are left out, as they would bend the mean."
    )
    if len(bands) < of:
        said += f" {len(bands)} of {of} choices are drawn, those that end best."
    if any(scale.off(y) for band in bands for _, y in band.mean):
        said += " What lies off the chart is cut."
    return Figure(f"Mean {name}", chart.render(), said)
