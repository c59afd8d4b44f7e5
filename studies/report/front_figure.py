"""The Pareto front of a study with several objectives, as a figure for each further one."""

from collections.abc import Sequence

from studies.book.records import TrialRecord
from studies.findings.result import StudyResult
from studies.report.figures import Figure, Values, tip
from studies.report.scales import scale_of
from studies.report.svg import Chart

_LOG_FROM = 10
"""An objective whose values differ by more than this factor has a logarithmic axis."""


def fronts(result: StudyResult, search: Sequence[TrialRecord], values: Values) -> list[Figure]:
    """Draw the metric over each further objective; those that no other trial beats are joined."""
    goals = result.plan.goals
    several = [r for r in search if r.state == "COMPLETE" and len(r.values) == len(goals.names)]
    figures = []
    for index, name in enumerate(goals.names[1:], start=1):
        costs = [record.values[index] for record in several]
        if not costs:
            continue
        log = min(costs) > 0 and max(costs) / min(costs) > _LOG_FROM
        chart = Chart(
            scale_of(costs, log=log),
            values.scale,
            f"{values.metric} and {name} of each trial; the Pareto front",
            x_label=name,
            y_label=values.label,
        )
        best = {record.number for record in result.front}

        def at(record: TrialRecord, index: int = index) -> tuple[float, float]:
            return record.values[index], values.of(record.values[0])

        for kind, of in (
            ("cross pruned", [r for r in several if not r.feasible]),
            ("dot complete", [r for r in several if r.feasible and r.number not in best]),
            ("dot big best", [r for r in several if r.number in best]),
        ):
            chart.marks([at(r) for r in of], kind, [tip(r, values) for r in of])
        chart.line(sorted(at(r) for r in several if r.number in best), "best")
        said = "Green: trials that no other one beats in all objectives."
        if any(not record.feasible for record in several):
            said += " Crosses: over a limit of the study."
        if any(values.off(record.values[0]) for record in several):
            said += " Triangles: off the chart."
        figures.append(Figure(f"{values.metric} and {name}", chart.render(), said))
    return figures
