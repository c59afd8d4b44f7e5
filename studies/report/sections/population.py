"""Population: which member copied which, and every hyperparameter over the epochs."""

from collections.abc import Mapping
from typing import Any

from search_spaces.space import Float
from studies.analysis.figure_data import best_of
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, names_scale, room_for, scale_of
from studies.core.attributes import SCHEDULE
from studies.core.formatting import metric_text, params_text
from studies.core.trials import TrialRecord
from studies.report.blocks import Figure, Figures, Heading, Material, Section, Table, Text
from studies.report.svg import Chart
from studies.search.population import members, stages

COPIES = 100
"""The table has at most this number of rows, the latest ones."""
_SLANT = 0.03
"""Share of the width that a line from one member to another takes."""


def section(page: Material) -> Section | None:
    """Return the section; None: the study has no population, or no member of it has ended."""
    found, result = members(page.search), page.result
    if not found:
        return None
    sign = result.plan.goals.sign
    best = best_of([record for record in found if record.complete], sign)
    said = (
        "Trials were the members of a population: after each generation the worst continued from"
        " the state of one of the best, with hyperparameters of their own."
    )
    return Section(
        "population",
        "Population",
        (
            Text(said),
            Figures((_descent(result, found, best),)),
            Heading("Schedules"),
            Figures(tuple(_schedules(result, found, best)), small=True, below=True),
            _copies(result, found),
        ),
    )


def _copies(result: StudyResult, found: list[TrialRecord]) -> Table:
    metric, per_epoch = result.plan.spec.metric, result.plan.adapter.reports_per_epoch
    by_number = {record.number: record for record in found}
    moves = [
        (one["epoch"], record, one)
        for record in found
        for one in record.attributes[SCHEDULE]
        if "source" in one
    ]
    moves.sort(key=lambda move: (move[0], move[1].number))
    rows = []
    for epoch, record, one in moves[-COPIES:]:
        source = by_number.get(one["source"])
        theirs = source.curve.get(epoch * per_epoch) if source else None
        rows.append(
            (
                f"{epoch}",
                f"trial {record.number}",
                metric_text(metric, record.curve.get(epoch * per_epoch)),
                f"trial {one['source']}",
                metric_text(metric, theirs),
                params_text(_perturbed(result, one["params"])),
            )
        )
    less = f"; the last {COPIES} of {len(moves)}" if len(moves) > COPIES else ""
    return Table(
        caption=f"Which member continued from the state of which{less}",
        head=("after epoch", "member", metric, "copied", f"its {metric}", "continued with"),
        rows=tuple(rows),
        style="trials",
    )


def _descent(result: StudyResult, found: list[TrialRecord], best: TrialRecord | None) -> Figure:
    """Draw each member as a line, and each copy as a line from its source."""
    names = [f"trial {record.number}" for record in found]
    place = {record.number: float(index) for index, record in enumerate(found)}
    end = result.plan.adapter.epochs
    chart = Chart(
        Scale(0.0, end, whole=True),
        names_scale(names),
        "Copies: a line for each member, from one to the other where it was copied",
        x_label="epoch",
        y_label="member",
        height=76 + 22 * len(found),
        left=room_for(names),
    )
    for record in found:
        row, per_epoch = place[record.number], result.plan.adapter.reports_per_epoch
        last = max(record.curve, default=0) / per_epoch
        chart.line([(0.0, row), (last, row)], "complete")
    copies = [
        (record, one)
        for record in found
        for one in record.attributes[SCHEDULE]
        if one.get("source") in place
    ]
    for record, one in copies:
        at = float(one["epoch"])
        # Slanting, as several may copy at the same time.
        ends = [(at - _SLANT * end, place[one["source"]]), (at, place[record.number])]
        chart.line(ends, "pruned")
    chart.marks(
        [(float(one["epoch"]), place[record.number]) for record, one in copies],
        "dot complete",
        [
            f"after epoch {one['epoch']} trial {record.number} continued from trial {one['source']}"
            for record, one in copies
        ],
    )
    if best is not None:
        chart.line(_line_of(best, found, place, end), "best")
    said = "Dashed: a member (the dot) continues from the state of the other one. Green: the best."
    return Figure("Which member copied which", chart.render(), said)


def _line_of(
    best: TrialRecord,
    found: list[TrialRecord],
    place: Mapping[int, float],
    end: float,
) -> list[tuple[float, float]]:
    """Return the line of ``best`` from its start to its end, through all that it copied."""
    by_number = {record.number: record for record in found}
    points, at, until = [(end, place[best.number])], best, end
    while True:
        copied = [
            one for one in at.attributes[SCHEDULE] if "source" in one and one["epoch"] < until
        ]
        if not copied or copied[-1]["source"] not in by_number:
            return [*points, (0.0, place[at.number])][::-1]
        until = float(copied[-1]["epoch"])
        source = by_number[copied[-1]["source"]]
        points += [(until, place[at.number]), (until - _SLANT * end, place[source.number])]
        at = source


def _schedules(
    result: StudyResult, found: list[TrialRecord], best: TrialRecord | None
) -> list[Figure]:
    """Draw each hyperparameter that changes over the epochs, a line for each member."""
    space, end = result.plan.spec.space, result.plan.adapter.epochs
    figures = []
    for name, parameter in space.parameters.items():
        if not isinstance(parameter, Float):
            continue
        chart = Chart(
            Scale(0.0, end, whole=True),
            scale_of([parameter.low, parameter.high], log=parameter.log),
            f"{name} of each member over the epochs",
            x_label="epoch",
            y_label=name,
            width=250,
            height=196,
            left=48,
            y_ticks=4,
        )
        for record in found:
            own = [(float(s["epoch"]), s["params"][name]) for s in record.attributes[SCHEDULE]]
            chart.steps([*own, (end, own[-1][1])], "complete")
        if best is not None:
            whole = [(float(epoch), params[name]) for epoch, params in stages(best, space)]
            chart.steps([*whole, (end, whole[-1][1])], "best")
        figures.append(Figure(name, chart.render(), "green: the best, with those it copied"))
    return figures


def _perturbed(result: StudyResult, params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != result.plan.spec.scientific}
