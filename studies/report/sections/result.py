"""Result: the table, confirmed values with their intervals, the Pareto front, the test set."""

from collections.abc import Sequence

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data, scales
from studies.analysis.result import StudyResult
from studies.analysis.scales import names_scale, room_for, scale_of
from studies.core.formatting import bare_text, is_share, metric_text, params_text, possible, unit
from studies.report.blocks import (
    Block,
    Figure,
    Figures,
    Group,
    Heading,
    Material,
    Notes,
    Section,
    Table,
    Text,
)
from studies.report.front_table import has_no_test, judged_on, words_of
from studies.report.sections import front, trend
from studies.report.svg import Chart
from studies.report.table import cells, headings, metric_title
from studies.report.table_notes import notes
from studies.report.trend_text import trend_lines
from studies.report.verdict_text import choice_lines, configuration_lines

_SIGNS = {"best": "★ ", "tie": "≈ ", "too noisy": "? ", "collapsed": "✕ "}
"""Before a name, as in the table: colours alone do not tell them apart."""
_MARKS = {
    "best": ("diamond", "best"),
    "the same": ("diamond", "best"),
    "tie": ("dot", "complete"),
    "too noisy": ("dot", "complete"),
    "collapsed": ("ring", "worse"),
    "worse": ("ring", "worse"),
    "runner-up": ("ring", "worse"),
    "": ("dot", "complete"),
}
"""Shape and colour of a row's mark."""
_OF_SEARCH = ("trials", "search", "luck")


def section(page: Material) -> Section:
    """Return the section."""
    result = page.result
    test = (Heading("Test"), Text(test_text(result)))
    confirmed, of_seeds = forest(result), seeds(result)
    drawn: list[Block] = list(front.figures(result, page.search, page.values))
    drawn += [confirmed] if confirmed else []
    drawn.append(Group((*(two_verdicts(result) if confirmed else ()), *test)))
    if (over_numbers := trend.figure(result)) is not None:
        drawn.append(over_numbers)
    if of_seeds:
        drawn.append(Group((Heading("Value on each fresh seed"), of_seeds), whole=True))
    return Section(
        "result",
        "Result",
        (results(result), Notes(tuple(notes(result))), Figures(tuple(drawn))),
    )


def results(result: StudyResult) -> Table:
    """Return a row for each scientific value and the default, best first."""
    head = headings(result)
    order = _answers_first(head)
    return Table(
        caption=f"{metric_title(result)}, best first",
        head=(
            *(head[column] for column in order),
            "configuration" if result.several else "its best configuration",
        ),
        rows=tuple(
            (
                *(cells(result, row)[column] for column in order),
                params_text(row.candidate.params) if row.candidate else "-",
            )
            for row in result.shown_rows
        ),
        marks=tuple(result.standing(row) for row in result.shown_rows),
        style="results",
    )


def _answers_first(head: Sequence[str]) -> list[int]:
    """Return the order of the columns: those of the search stand behind what was confirmed.

    A phone shows the first two or three columns of a table.
    """
    search = [place for place, name in enumerate(head) if name in _OF_SEARCH]
    others = [place for place in range(len(head)) if place not in search]
    return [*others[:-1], *search, others[-1]]


def seeds(result: StudyResult) -> Table | None:
    """Return each configuration's value on each fresh seed; None: nothing is confirmed."""
    metric = result.judged_metric
    rows = [row for row in result.shown_rows if row.values]
    if not rows:
        return None
    seeds = list(dict.fromkeys(seed for row in rows for seed in row.values))
    return Table(
        caption=f"{metric} {unit(metric)}".strip()
        + " of each configuration on each fresh seed (by its last digits)",
        head=("configuration", *(f"…{seed % 10000:04}" for seed in seeds)),
        rows=tuple(
            (row.label, *(bare_text(metric, row.values.get(seed)) for seed in seeds))
            for row in rows
        ),
        marks=tuple(
            standing if (standing := result.standing(row)) in ("best", "runner-up") else ""
            for row in rows
        ),
    )


def test_text(result: StudyResult) -> str:
    """Say when the test set was read, of how many models, and what came out."""
    times = result.test.times
    if not times:
        if has_no_test(result):
            return "The objective has no test."
        return "There is no test set." if result.test.absent else "The test set has not been read."
    models = len(result.test.values)
    said = f"The test set was read {counted(len(times), 'time')}"
    judged = counted(models, words_of(result).judged)
    at = ", ".join(time.replace("T", " ") for time in times)
    said += f" ({at}), of {judged}, after everything was chosen."
    row = result.best_row
    if row is not None and row.test is not None:
        metric = result.plan.spec.metric.removeprefix("val_")
        said += (
            f" {row.label}: {metric} {metric_text(metric, row.test.mean)} {words_of(result).tested}"
        )
        if row.test.n > 1:
            cut = possible(metric, row.test)
            low, high = metric_text(metric, cut.low), metric_text(metric, cut.high)
            said += f" [{low.removesuffix(' %')}, {high}] over {row.test.n} seeds"
        said += "."
        if row.confirm is not None and row.test.mean != row.confirm.mean:
            more = "higher" if row.test.mean > row.confirm.mean else "lower"
            said += (
                f" That it is {more} than the value on fresh seeds does not say how well the model"
                " generalises: the images are others, and may be easier or harder."
            )
    return said


def two_verdicts(result: StudyResult) -> list[Heading | Text]:
    """Return the verdicts, apart; the marks in the picture show the first one only."""
    if result.several:
        return []
    said = (
        ("Which configuration is best", configuration_lines(result)),
        (f"Which {result.plan.spec.scientific} is best, tuned like this", choice_lines(result)),
        (f"How the value changes over {result.plan.spec.scientific}", trend_lines(result)),
    )
    return [one for head, lines in said if lines for one in (Heading(head), Text(lines[0]))]


def forest(result: StudyResult) -> Figure | None:
    """Draw each confirmed configuration's mean and interval; the test mean beside it."""
    rows, metric = figure_data.forest(result), result.judged_metric
    if not rows:
        return None
    times = 100 if is_share(metric) else 1
    names = [f"{_SIGNS.get(result.standing(row), '')}{row.label}" for row, _ in rows]
    ends = []
    for row, interval in rows:
        ends.append(interval.mean)
        # One configuration that diverged on a seed would squash all others into a line.
        if interval.n > 1 and row.label not in result.noisy:
            ends += [interval.low, interval.high]
        if row.test is not None:
            ends.append(row.test.mean)
    chart = Chart(
        scale_of([times * end for end in ends]),
        names_scale(names),
        "Confirmed value of each configuration with its interval",
        x_label=scales.axis_label(metric),
        y_label="configuration",
        height=72 + 26 * len(rows),
        left=room_for(names),
    )
    for place, (row, interval) in enumerate(rows):
        standing = result.standing(row)
        shape, kind = _MARKS[standing]
        if interval.n > 1:
            chart.whisker(place, times * interval.low, times * interval.high, kind)
        if row.test is not None:  # first: where both are the same, the mean's shape is seen
            tested = f"{row.label}, test: {metric_text(metric, row.test.mean)}"
            chart.marks([(times * row.test.mean, float(place))], "square test", [tested])
        word = f", {standing}" if standing else ""
        said = f"{row.label}{word}: {metric_text(metric, interval.mean)}"
        chart.marks([(times * interval.mean, float(place))], f"{shape} big {kind}", [said])
    said = f"Mean over fresh seeds{judged_on(result)}, with 95 % intervals that all hold together"
    if not result.several:
        said += "; of the configurations diamond ★: the best, dot ≈: not told apart, ring: worse"
    called = words_of(result)
    tested = f"; squares: mean of {called.models} {called.tested}."
    said += tested if result.test.values else "."
    return Figure("Confirmed on fresh seeds", chart.render(), said)
