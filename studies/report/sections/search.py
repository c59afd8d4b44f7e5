"""Search: all trials in their order, their spread, what matters, the tables of the trials."""

from collections.abc import Mapping

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data
from studies.analysis.importance import DRAWS, Importance, importance
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, Values, names_scale, room_for
from studies.analysis.tendency import Tendency, tendency
from studies.core.trials import TrialRecord, TrialState
from studies.report.bars import Bar, draw_bars
from studies.report.blocks import Figure, Figures, Material, Section
from studies.report.svg import Chart, draw_trials
from studies.report.trial_tables import tables

_SHARES = 15
_QUICK_DRAWS = 10
"""Draws of the importance on a page that a run writes: all of them take seconds."""


def section(page: Material) -> Section:
    """Return the section."""
    spec = page.result.plan.spec
    draws = _QUICK_DRAWS if page.quick else DRAWS
    found = importance(spec, page.search, draws=draws)
    shares = importances(found, {s.name: tendency(spec, page.search, s.name) for s in found.shares})
    drawn = [history(page.search, page.values)]
    drawn += [one for one in (boxes(page.result, page.search, page.values), shares) if one]
    return Section("search", "Search", (Figures(tuple(drawn)), *tables(page.result, page.search)))


def history(search: list[TrialRecord], values: Values) -> Figure:
    """Draw each trial's value in the order of trials, and the best so far."""
    found = figure_data.history(search, values.sign)
    chart = Chart(
        Scale(-0.5, max(1.0, len(search) - 0.5), whole=True),
        values.scale,
        "Optimization history: the value of each trial, and the best so far",
        x_label="trial",
        y_label=values.label,
    )
    for records, kind in ((found.pruned, "cross pruned"), (found.complete, "dot complete")):
        draw_trials(chart, records, [float(r.number) for r in records], values, kind)
    # A failed trial has no value: it stands at the bottom.
    chart.marks(
        [(float(record.number), chart.y.low) for record in found.failed],
        "square failed",
        [f"trial {record.number} failed" for record in found.failed],
    )
    if found.best:
        best = [(float(number), values.of(value)) for number, value in found.best]
        chart.steps([*best, (float(len(search) - 1), best[-1][1])], "best")
    said = "Line: the best so far. Dots: trials that ran their full budget"
    if any(record.state == TrialState.PRUNED for record in search):
        said += "; crosses: pruned ones, at their last report"
    if found.failed:
        said += "; squares at the bottom: failed ones"
    if found.infeasible:
        said += f"; {found.infeasible} over a limit of the study were not trained"
    off = sum(record.value is not None and values.off(record.value) for record in search)
    if off:
        said += f". Triangles: {counted(off, 'trial')} with worse values, off the chart"
    return Figure("Optimization history", chart.render(), f"{said}.")


def boxes(result: StudyResult, search: list[TrialRecord], values: Values) -> Figure | None:
    """Draw how the values of each choice spread; None: no choices are compared."""
    found = figure_data.boxes(result.plan.spec, search)
    if not found:
        return None
    names = [box.choice for box in found]
    chart = Chart(
        values.scale,
        names_scale(names),
        f"Values of each choice of {result.plan.spec.scientific}: median, middle half, all trials",
        x_label=values.label,
        y_label=result.plan.spec.scientific,
        height=72 + 26 * len(found),
        left=room_for(names),
    )
    for place, box in enumerate(found):
        at = float(place)
        low, high = values.of(box.values[0]), values.of(box.values[-1])
        title = (
            f"{box.choice}: median {values.text(box.median)} of {counted(len(box.values), 'trial')}"
        )
        chart.whisker(at, low, high)
        draw_bars(chart, [Bar(at, values.of(box.low), values.of(box.high), title)], "box")
        chart.marks([(values.of(box.median), at)], "upright best", [title])
    said = (
        "Box: the middle half of the trials that ran their full budget; bar in it: their median;"
        " line: from the worst to the best."
    )
    if any(values.off(value) for box in found for value in box.values):
        said += " Lines and boxes end where the chart does."
    return Figure(f"Value by {result.plan.spec.scientific}", chart.render(), said)


def importances(found: Importance, tendencies: Mapping[str, Tendency]) -> Figure | None:
    """Draw how much each parameter matters, and its sign; None: too few trials."""
    if not found.shares:
        return None
    shares = found.shares[:_SHARES]
    names = [f"{share.name} {tendencies[share.name].mark}" for share in shares]
    chart = Chart(
        Scale(0, 100),
        names_scale(names),
        "Importance of the parameters, with 95 % intervals",
        x_label="fraction of all importance, %",
        y_label="parameter, and what is better",
        height=72 + 24 * len(shares),
        left=room_for(names),
    )
    for place, share in enumerate(shares):
        said = f"{share.name}: {share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
        said += f"; {tendencies[share.name].said}"
        draw_bars(chart, [Bar(place, 0, 100 * share.value, said)], "complete")
        chart.whisker(place, 100 * share.low, 100 * share.high)
    said = (
        "How much each parameter decides whether a trial is among the best tenth (PED-ANOVA on"
        f" {found.trials} trials): median and 95 % interval of {found.draws} draws with"
        " replacement."
        " A long line means that the trials are too few to tell. ↑: larger values are better, ↓:"
        " smaller ones (rank correlation within each choice), ·: neither is shown; a word: the"
        " choice with the best median."
    )
    if len(found.shares) > len(shares):
        said += f" {len(found.shares) - len(shares)} more have a smaller median."
    return Figure("Importance", chart.render(), said)
