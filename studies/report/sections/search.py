"""Search: all trials in their order, what matters, the best trials."""

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data
from studies.analysis.importance import Importance, importance
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, Values, names_scale, room_for
from studies.core.formatting import bare_text, params_text, unit
from studies.core.trials import TrialRecord, TrialState
from studies.report.blocks import Details, Figure, Figures, Material, Section, Table
from studies.report.svg import Chart, draw_trials

TOP = 20
"""The table lists at most this number of the best trials."""
_SHARES = 15


def section(page: Material) -> Section:
    """Return the section."""
    shares = importances(importance(page.result.plan.spec, page.search))
    drawn = (history(page.search, page.values), *([shares] if shares else []))
    best = Details("The best trials", (best_trials(page.result, page.search),))
    return Section("search", "Search", (Figures(drawn), best))


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


def importances(found: Importance) -> Figure | None:
    """Draw how much each parameter matters, with its interval; None: too few trials."""
    if not found.shares:
        return None
    shares = found.shares[:_SHARES]
    chart = Chart(
        Scale(0, 100),
        names_scale(share.name for share in shares),
        "Importance of the parameters, with 95 % intervals",
        x_label="fraction of all importance, %",
        height=56 + 24 * len(shares),
        left=room_for(share.name for share in shares),
    )
    for place, share in enumerate(shares):
        said = f"{share.name}: {share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
        chart.bar(place, 0, 100 * share.value, "complete", title=said)
        chart.whisker(place, 100 * share.low, 100 * share.high)
    said = (
        "How much each parameter decides whether a trial is among the best tenth (PED-ANOVA on"
        f" {found.trials} trials): median and 95 % interval of {found.draws} draws with"
        " replacement."
        " A long line means that the trials are too few to tell."
    )
    if len(found.shares) > len(shares):
        said += f" {len(found.shares) - len(shares)} more have a smaller median."
    return Figure("Importance", chart.render(), said)


def best_trials(result: StudyResult, search: list[TrialRecord]) -> Table:
    """Return the best trials of the search."""
    metric, sign = result.plan.spec.metric, result.plan.goals.sign
    complete = figure_data.complete(search)
    best = figure_data.best_first(complete, sign)[:TOP]
    return Table(
        caption=f"The best {len(best)} of {counted(len(complete), 'trial')} of full budget",
        head=("trial", f"{metric} {unit(metric)}".strip(), "s", "configuration"),
        rows=tuple(
            (
                str(record.number),
                bare_text(metric, record.value),
                f"{record.seconds:.1f}" if record.seconds is not None else "-",
                params_text(record.params),
            )
            for record in best
        ),
        style="trials",
    )
