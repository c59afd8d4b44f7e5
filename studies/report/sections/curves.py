"""Validation curves: a chart for each choice of the scientific parameter."""

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, Values
from studies.core.trials import TrialRecord, TrialState
from studies.report.blocks import Block, Figure, Figures, Heading, Material, Section, Text
from studies.report.front_table import words_of
from studies.report.sections import mean_curves
from studies.report.sections.mean_curves import step_name
from studies.report.svg import Chart, tip

CURVES = 40
"""Curves of a choice that are drawn at most: the best ones, and a sample of the others."""
POINTS = 40
"""Points of one curve at most."""


def section(page: Material) -> Section:
    """Return the section."""
    drawn = curves(page.result, page.search, page.wide)
    title = words_of(page.result).curves
    if not drawn:
        return Section("curves", title, (Text("No trial has reported a value on the way."),))
    said = (
        "Blue: trials that ran their full budget; orange and dashed, ending in a cross: pruned"
        " ones; bold: the best."
    )
    blocks: list[Block] = [Figures(tuple(mean_curves.figures(page)))]
    if page.result.plan.spec.compares:
        blocks.append(Heading("Each choice"))
    blocks += [Text(said), Figures(tuple(drawn), small=True, below=True)]
    return Section("curves", title, tuple(blocks))


def curves(result: StudyResult, search: list[TrialRecord], values: Values) -> list[Figure]:
    """Draw the validation curves of each choice, pruned ones marked."""
    figures = []
    reported = [record for record in search if record.curve]
    # One scale for all choices, so that their charts can be compared.
    last = max((max(record.curve) for record in reported), default=1)
    for choice, records in figure_data.by_choice(result.plan.spec, reported):
        if not records:
            continue
        shown = figure_data.some(records, CURVES, values.sign)
        lines = {r.number: figure_data.curve(r, values, POINTS) for r in shown}
        chart = Chart(
            Scale(0, last, whole=True),
            values.scale,
            f"{words_of(result).curves} of {choice}",
            x_label=step_name(result),
            y_label=values.label,
            width=250,
            height=196,
            left=40,
            y_ticks=4,
        )
        ended = [record for record in shown if record.complete]
        pruned = [record for record in shown if record.state == TrialState.PRUNED]
        chart.lines([lines[record.number] for record in pruned], "pruned")
        chart.lines([lines[record.number] for record in ended], "complete")
        ends = [(record, lines[record.number][-1]) for record in shown if lines[record.number]]
        stopped = [(record, at) for record, at in ends if record.state == TrialState.PRUNED]
        chart.marks(
            [at for _, at in stopped],
            "cross pruned",
            [f"trial {record.number} pruned" for record, _ in stopped],
        )
        # A line that ends off the chart, or lies there whole, shows where.
        off = [(record, at) for record, at in ends if values.scale.off(at[1])]
        far = [(record, at) for record, at in off if record.complete]
        chart.marks(
            [at for _, at in far], "dot complete", [tip(record, values) for record, _ in far]
        )
        best = figure_data.best_of(ended, values.sign)
        if best is not None:
            chart.line(lines[best.number], "best", title=tip(best, values))
        counts = [
            f"{sum(r.state == state for r in records)} {state.lower()}"
            for state in ("COMPLETE", "PRUNED")
        ]
        said = ", ".join(counts)
        said += f"; {len(shown)} of {len(records)} drawn" if len(shown) < len(records) else ""
        said += f"; {counted(len(off), 'ends', 'end')} off the chart" if off else ""
        figures.append(Figure(str(choice), chart.render(), said))
    return figures
