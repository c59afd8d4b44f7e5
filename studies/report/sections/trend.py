"""Trend: the metric over a scientific parameter that is a number, with the fitted curve."""

from studies.analysis import scales
from studies.analysis.result import StudyResult
from studies.analysis.scales import scale_of
from studies.analysis.trends import numbers, trend_of
from studies.core.formatting import is_share, metric_text, possible
from studies.report.blocks import Figure
from studies.report.svg import Chart


def figure(result: StudyResult) -> Figure | None:
    """Draw the level's means and the fitted curve with its band; None: there is no trend to fit."""
    found, judged = trend_of(result), result.verdicts.choices
    if found is None or judged is None:
        return None
    metric, levels = result.judged_metric, numbers(result)
    times = 100 if is_share(metric) else 1
    intervals = {
        label: possible(metric, judged.intervals[label])
        for label in levels
        if label in judged.intervals
    }
    band = [(at, possible(metric, one)) for at, one in found.curve]
    means = [times * one.mean for one in intervals.values()]
    ends = [times * end for _, one in band for end in (one.low, one.high)]
    name = result.plan.spec.scientific
    chart = Chart(
        scale_of([found.low, found.high], log=found.log),
        scale_of([*means, *ends]),
        f"{metric} over {name}: means, fitted curve and its band",
        x_label=name,
        y_label=scales.axis_label(metric),
    )
    chart.lines([[(at, times * one.low) for at, one in band]], "faint")
    chart.lines([[(at, times * one.high) for at, one in band]], "faint")
    chart.line([(at, times * one.mean) for at, one in band], "best")
    for label, one in intervals.items():
        chart.line([(levels[label], times * one.low), (levels[label], times * one.high)], "whisker")
    chart.marks(
        [(levels[label], times * one.mean) for label, one in intervals.items()],
        "dot big complete",
        [f"{name} {label}: {metric_text(metric, one.mean)}" for label, one in intervals.items()],
    )
    form = "parabola" if found.bend is not None else "straight line"
    said = (
        f"Dots: each level as tuned here, with 95 % intervals that have the luck of the search in"
        f" them and all hold together. Line: fitted {form}; faint: its 95 % band, point by point."
    )
    return Figure(f"Trend over {name}", chart.render(), said)
