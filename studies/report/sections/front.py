"""The Pareto front: the metric over each further objective."""

from studies.analysis import figure_data
from studies.analysis.figure_data import Front
from studies.analysis.result import StudyResult
from studies.analysis.scales import Point, Values, scale_of
from studies.core.trials import TrialRecord
from studies.report.blocks import Figure
from studies.report.svg import Chart, tip

_LOG_FROM = 10
"""An objective whose values differ by more than this factor has a logarithmic axis."""
_NAMES = {"seconds": "time of a training, s", "parameters": "parameters of the model"}


def figures(result: StudyResult, search: list[TrialRecord], values: Values) -> list[Figure]:
    """Draw the metric over each further objective; steps join the Pareto front."""
    return [_figure(front, values) for front in figure_data.fronts(result, search)]


def _figure(front: Front, values: Values) -> Figure:
    known = [*front.infeasible, *front.beaten, *front.best]
    costs = [record.values[front.index] for record in known]
    costs += [x for _, (x, _) in front.confirmed]
    costs += [front.default[0]] if front.default is not None else []
    costs += [front.limit] if front.limit is not None else []
    # Parameters differ by factors of a hundred, seconds rarely do.
    scale = scale_of(costs, log=min(costs) > 0 and max(costs) / min(costs) > _LOG_FROM)
    name = _NAMES.get(front.name, front.name)
    chart = Chart(
        scale,
        values.scale,
        f"{values.metric} and {front.name} of each trial; the Pareto front",
        x_label=f"{name}, logarithmic" if scale.log else name,
        y_label=values.label,
    )

    def drawn(point: Point) -> Point:
        return point[0], values.of(point[1])

    if front.limit is not None:
        chart.line([(front.limit, end) for end in (chart.y.low, chart.y.high)], "limit")
        chart.text(chart.across(front.limit) - 4, 34, "limit", "label", anchor="end")
    for kind, of in (
        ("cross pruned", front.infeasible),
        ("dot complete", front.beaten),
        ("dot big best", front.best),
    ):
        points = [(record.values[front.index], values.of(record.values[0])) for record in of]
        chart.marks(points, kind, [tip(record, values) for record in of])
    chart.line([drawn(point) for point in front.steps], "best")
    for label, point in front.confirmed:
        said = f"{label}, mean over fresh seeds: {values.text(point[1])}"
        chart.marks([drawn(point)], "diamond test", [said])
    if front.default is not None:
        said = f"the default, mean over fresh seeds: {values.text(front.default[1])}"
        chart.marks([drawn(front.default)], "square test", [said])
    return Figure(f"{values.metric} and {front.name}", chart.render(), _caption(front, values))


def _caption(front: Front, values: Values) -> str:
    said = "Green: trials that no other one beats in all objectives; the steps join them."
    if front.confirmed:
        said += " Diamonds: means of confirmed configurations over fresh seeds."
    if front.default is not None:
        said += " Square: the default, on the same seeds."
    if front.limit is not None:
        said += " Dashed: the study's limit."
    if front.infeasible:
        said += " Crosses: over a limit of the study."
    known = [*front.infeasible, *front.beaten, *front.best]
    if any(values.off(record.values[0]) for record in known):
        said += " Triangles: off the chart."
    return said
