"""Figures of what came out: confirmed values, importance of the parameters, time."""

from collections.abc import Sequence

from studies.analysis.importance import Importance
from studies.analysis.result import StudyResult
from studies.core.formatting import is_share, metric_text, possible
from studies.core.trials import TrialRecord
from studies.report.scales import Scale, names_scale, room_for, scale_of
from studies.report.svg import Chart
from studies.report.trial_figures import Figure


def forest(result: StudyResult) -> Figure | None:
    """Draw each confirmed configuration's mean and interval; the test mean beside it."""
    metric = result.plan.spec.metric
    rows = [(row, possible(metric, row.confirm)) for row in result.rows if row.confirm is not None]
    if not rows:
        return None
    times = 100 if is_share(metric) else 1
    names = [f"{_SIGNS.get(result.standing(row), '')}{row.label}" for row, _ in rows]
    ends = []
    for row, interval in rows:
        ends.append(interval.mean)
        if interval.n > 1 and row.label not in result.noisy:
            ends += [interval.low, interval.high]
        if row.test is not None:
            ends.append(row.test.mean)
    chart = Chart(
        scale_of([times * end for end in ends]),
        names_scale(names),
        "Confirmed value of each configuration with its interval",
        x_label=f"{metric}, %" if is_share(metric) else metric,
        height=56 + 26 * len(rows),
        left=room_for(names),
    )
    for place, (row, interval) in enumerate(rows):
        standing = result.standing(row)
        shape, kind = _MARKS[standing]
        if interval.n > 1:
            _whisker(chart, place, times * interval.low, times * interval.high, kind)
        if row.test is not None:  # first: where both are the same, the mean's shape is seen
            tested = f"{row.label}, test: {metric_text(metric, row.test.mean)}"
            chart.marks([(times * row.test.mean, float(place))], "square test", [tested])
        word = f", {standing}" if standing else ""
        said = f"{row.label}{word}: {metric_text(metric, interval.mean)}"
        chart.marks([(times * interval.mean, float(place))], f"{shape} big {kind}", [said])
    said = "Mean over fresh seeds on the validation images, with 95 % t interval"
    if not result.several:
        said += "; diamond ★: the best, dot ≈: not told apart from it, ring: worse"
    said += "; squares: mean of the same models on the test images." if result.test.values else "."
    return Figure("Confirmed on fresh seeds", chart.render(), said)


def importances(found: Importance) -> Figure | None:
    """Draw how much each parameter matters, with its interval."""
    if not found.shares:
        return None
    shares = found.shares[:15]
    chart = Chart(
        Scale(0, 100),
        names_scale(share.name for share in shares),
        "Importance of the parameters, with 95 % intervals",
        x_label="share of the importance, %",
        height=56 + 24 * len(shares),
        left=room_for(share.name for share in shares),
    )
    for place, share in enumerate(shares):
        said = f"{share.name}: {share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
        chart.bar(place, 0, 100 * share.value, "complete", title=said)
        _whisker(chart, place, 100 * share.low, 100 * share.high)
    said = (
        "How much each parameter decides whether a trial is among the best tenth (PED-ANOVA on"
        f" {found.trials} trials): median and 95 % interval of {found.draws} draws with"
        " replacement."
        " A long line means that so few trials cannot tell."
    )
    if len(found.shares) > len(shares):
        said += f" {len(found.shares) - len(shares)} more have a smaller median."
    return Figure("Importance", chart.render(), said)


def cost(result: StudyResult, search: Sequence[TrialRecord]) -> Figure | None:
    """Draw the seconds that each choice took, by what became of them."""
    spec = result.plan.spec
    kinds = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    spent: dict[str, dict[str, float]] = {}
    for record in search:
        by = spent.setdefault(str(record.params.get(spec.scientific)), dict.fromkeys(kinds, 0.0))
        if record.state in kinds:
            by[record.state] += record.seconds or 0.0
    for record in result.confirmed:
        by = spent.setdefault(str(record.params.get(spec.scientific)), dict.fromkeys(kinds, 0.0))
        by["confirm"] = by.get("confirm", 0.0) + (record.seconds or 0.0)
    most = max((sum(by.values()) for by in spent.values()), default=0.0)
    if not most:
        return None
    chart = Chart(
        Scale(0, most * 1.02),
        names_scale(spent),
        "Seconds of training by choice",
        x_label="seconds of training",
        height=56 + 24 * len(spent),
        left=room_for(spent),
    )
    for place, (choice, by) in enumerate(spent.items()):
        begin = 0.0
        for state, kind in {**kinds, "confirm": "confirm"}.items():
            if seconds := by.get(state, 0.0):
                said = f"{choice}, {state.lower()}: {seconds:.0f} s"
                chart.bar(place, begin, begin + seconds, kind, title=said)
                begin += seconds
    return Figure(
        "Time by choice",
        chart.render(),
        "Seconds of training, left to right: full budget (blue), pruned (orange), failed (grey),"
        " confirm trainings (green).",
    )


_SIGNS = {"best": "★ ", "tie": "≈ ", "too noisy": "? "}
"""Before a name, as in the table: colours alone do not tell them apart."""
_MARKS = {
    "best": ("diamond", "best"),
    "the same": ("diamond", "best"),
    "tie": ("dot", "complete"),
    "too noisy": ("dot", "complete"),
    "worse": ("ring", "worse"),
    "": ("dot", "complete"),
}
"""Shape and colour of a row's mark."""


def _whisker(chart: Chart, place: float, low: float, high: float, kind: str = "whisker") -> None:
    chart.line([(low, place), (high, place)], f"whisker {kind}")
