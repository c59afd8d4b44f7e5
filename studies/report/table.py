"""The final table and the sentences under it: on a terminal, as plain text, as Markdown."""

from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape

from mnist_core.console.plain_text import counted
from mnist_core.console.plain_text import markdown as escaped
from mnist_core.console.shell_words import program
from studies.analysis.racing import ALPHA
from studies.analysis.result import Row, StudyResult
from studies.core.formatting import (
    bare_text,
    duration,
    gap_text,
    mean_text,
    possible,
    unit,
)
from studies.core.seeds import FIRST_SEEDS
from studies.report.fitting import fitted
from studies.report.front_table import (
    ended_early,
    front_cells,
    front_headings,
    front_notes,
    judged_on,
    reading_text,
    searched_by,
)
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings
from studies.statistics.intervals import CONFIDENCE


def print_result(console: Console, result: StudyResult) -> None:
    """Print table, verdict, warnings and what the numbers mean."""
    console.print(table(console, result))
    console.print()
    for line in verdict_lines(result):
        console.print(escape(line), style="bold", highlight=False)
    for line in warnings(result):
        console.print(f"warning: {escape(line)}", style="yellow", highlight=False)
    console.print()
    for line in notes(result):
        console.print(escape(line), style="dim", highlight=False)


def table(console: Console, result: StudyResult) -> RenderableType:
    """Return the table of the study, best first: a line for each confirmed configuration."""
    # Elsewhere than on a terminal it is Markdown, which can be pasted, and has no colours.
    styles = []
    for row in result.shown_rows:
        standing = result.standing(row)
        tie, other = standing in ("tie", "the same"), "dim" if standing == "runner-up" else ""
        styles.append("bold green" if row.label == result.best else "green" if tie else other)
    return fitted(
        console,
        headings(result),
        [cells(result, row) for row in result.shown_rows],
        title=f"{result.plan.name}: {metric_title(result)}",
        styles=styles if console.is_terminal else (),
        plain=not console.is_terminal,
    )


def metric_title(result: StudyResult) -> str:
    """Name the metric, and the one of the column confirm if it is another one."""
    metric, judged = result.plan.spec.metric, result.judged_metric
    said = f"{metric} {unit(metric)}".rstrip()
    return said if judged == metric else f"{said}, in the column confirm {judged}"


COLUMNS = ("choice", "trials", "search", "luck", "confirm", "minus best", "test", "s")


def headings(result: StudyResult) -> tuple[str, ...]:
    """Return the heads of the columns."""
    if result.several:
        return front_headings(result)
    return (result.plan.spec.scientific, *COLUMNS[1:])


def cells(result: StudyResult, row: Row) -> tuple[str, ...]:
    """Return the cells of one row, as text: see ``headings`` and ``notes``."""
    if result.several:
        return front_cells(result, row)
    metric = result.plan.spec.metric
    if row.candidate is not None and row.candidate.runner_up:
        return _runner_up_cells(row, metric)
    return (
        row.label,
        f"{row.complete}/{row.pruned}/{row.failed}",
        bare_text(metric, row.candidate.search_value if row.candidate else None),
        bare_text(metric, row.luck),
        mean_text(metric, row.confirm) + (_collapsed(row) or _of_fewer(row.stopped_after)),
        _gap(result, row),
        bare_text(metric, row.test.mean if row.test else None) + _of_fewer(_partly_tested(row)),
        f"{row.seconds:.1f}" if row.seconds is not None else "-",
    )


def _runner_up_cells(row: Row, metric: str) -> tuple[str, ...]:
    """Return the cells of a runner-up: an interval of two seeds of its own would say nothing."""
    mean, test = (one.mean if one else None for one in (row.confirm, row.test))
    return (
        row.label,
        "-",
        bare_text(metric, row.candidate.search_value if row.candidate else None),
        "-",
        bare_text(metric, mean) + _of_fewer(len(row.values)),
        "-",
        bare_text(metric, test),
        f"{row.seconds:.1f}" if row.seconds is not None else "-",
    )


def notes(result: StudyResult) -> list[str]:
    """Return lines that explain the columns and the intervals."""
    cut = ["Intervals are cut at 0 and 100 %."] if _any_cut(result) else []
    return (front_notes(result) if result.several else _notes_of_choices(result)) + cut


def _any_cut(result: StudyResult) -> bool:
    metric = result.plan.spec.metric
    shown = [row.confirm for row in result.rows if row.confirm and row.confirm.n > 1]
    return any(possible(metric, interval) != interval for interval in shown)


def _notes_of_choices(result: StudyResult) -> list[str]:
    raced = any(row.stopped_after for row in result.rows)
    followed = any(row.runners_up for row in result.rows)
    partly = any(map(_partly_tested, result.rows))
    return [
        *ended_early(result),
        *([f"This study was {result.forked}."] if result.forked else []),
        *map(str, result.learned),
        # The leader on fresh seeds need not be the best of the search.
        f"trials: complete/pruned/failed in the search; search: {searched_by(result)} of this"
        " configuration there; luck: how far the best one would move, were as many trials drawn"
        " again (standard deviation, bootstrap)"
        if followed
        else f"trials: complete/pruned/failed in the search; search: best {searched_by(result)}"
        " there; luck: how far it would move, were as many trials drawn again (standard deviation,"
        " bootstrap)",
        f"confirm: mean of the fresh seeds{judged_on(result)}, with {CONFIDENCE:.0%} intervals"
        f" that all hold together; test: mean of the same models on the test"
        f" images ({reading_text(result)});"
        " s: seconds a training",
        "minus best: against the best of the others (Hsu 1984), with the error of the seeds pooled"
        " over all choices; an end at 0 means: shown to be worse; a tie: may be as good; too noisy:"
        " may be as good only because its seeds differ so much; collapsed: a seed far worse than"
        " the best of its configuration",
        *(
            [
                f"confirm (n): stopped by the race after n of {result.plan.confirm_seeds} seeds, as"
                " clearly worse than the leader; its mean and difference are of these n, and it is"
                " not ranked with the others (paired t tests, corrected for candidates and looks:"
                f" the best is stopped in {ALPHA:.0%} of studies at most)"
            ]
            if raced
            else []
        ),
        *(
            [
                "runner-up: one of the choice's best configurations in the search that another one"
                f" leads by the mean {searched_by(result)} on the first {FIRST_SEEDS} fresh seeds;"
                " only the leader got the other seeds; (n): mean of n seeds; a runner-up tells of"
                " the luck of the search, and cannot win"
            ]
            if followed
            else []
        ),
        *(["test (n): of n of the confirmed models, see the warning"] if partly else []),
        result.verdicts.covered,
    ]


def markdown(result: StudyResult) -> str:
    """Return the short report, ``report.md``."""
    spec = result.plan.spec
    head = headings(result)
    lines = [f"# {escaped(result.plan.name)}", "", escaped(spec.goal), ""]
    lines += [f"Metric: {escaped(metric_title(result))}; {_setting(result)}.", ""]
    lines += ["| " + " | ".join(map(escaped, head)) + " |", "|---|" + "---:|" * (len(head) - 1)]
    shown = [cells(result, row) for row in result.shown_rows]
    lines += ["| " + " | ".join(map(escaped, of_row)) + " |" for of_row in shown]
    lines += ["", *(f"{escaped(line)}\n" for line in verdict_lines(result))]
    lines += [f"- Warning: {escaped(line)}" for line in warnings(result)]
    lines += ["", *(f"{escaped(line)}\n" for line in notes(result))]
    lines += [f"Test set read: {escaped(_readings(result))}."]
    return "\n".join(lines) + "\n"


def _collapsed(row: Row) -> str:
    one = row.collapsed
    return f" ({len(one.seeds)}/{one.of} collapsed)" if one else ""


def _of_fewer(n: int | None) -> str:
    return f" ({n})" if n else ""


def _partly_tested(row: Row) -> int | None:
    """Return the number of models with a test value; None: all of the row's models have one."""
    if row.test is None or row.confirm is None or row.test.n == row.confirm.n:
        return None
    return row.test.n


def _readings(result: StudyResult) -> str:
    """Return when the test set was read, e.g. ``2 times: …, … (by optim_search)``."""
    test = result.test
    each = [
        one.time + (f" (by study {one.study})" if one.study else "")
        for one in test.readings
        if one.certain
    ]
    each += [f"{one.time} (by {program('mnist_core')} {one.by})" for one in test.outside]
    perhaps = ", ".join(test.uncertain)
    perhaps = f"perhaps by study {perhaps}, whose database is damaged or gone" if perhaps else ""
    if not each:
        return perhaps or ("never: there is none" if test.absent else "never")
    said = f"{counted(len(each), 'time')}: {', '.join(each)}"
    return f"{said}; {perhaps}" if perhaps else said


def _gap(result: StudyResult, row: Row) -> str:
    best = result.best_row
    if best is None or best.candidate is None or row.candidate is None:
        return "-"
    if row is best:
        return "best"
    if row.candidate.params == best.candidate.params:
        return "the same"
    return gap_text(result.plan.spec.metric, row.gap)


def _setting(result: StudyResult) -> str:
    states = [f"{count} {state.lower()}" for state, count in sorted(result.states.items())]
    seconds = [record.seconds or 0.0 for record in result.confirmed]
    spent = f", {duration(sum(seconds))} of confirm trainings" if seconds else ""
    return f"search trials: {', '.join(states) or 'none'}{spent}"


def result_event(result: StudyResult) -> dict[str, Any]:
    """Return ``result`` as data of the event ``result``, see ``studies/tracking/recording.py``."""
    best, heads = result.best_row, headings(result)
    files = {"best configuration": "best_config.toml", "report": "report.md"}
    described: dict[str, Any] = {
        "verdict": verdict_lines(result),
        "table": [dict(zip(heads, cells(result, row), strict=True)) for row in result.shown_rows],
        "files": files,
        "states": dict(result.states),
    }
    if best is not None and best.candidate is not None and best.confirm is not None:
        # The training on the first seed: best_config.toml records it, and its model is kept.
        trial = result.confirm[best.label][0].number
        interval = possible(result.plan.spec.metric, best.confirm)
        described["best"] = {
            "label": best.label,
            "params": dict(best.candidate.params),
            "mean": best.confirm.mean,
            "low": interval.low,
            "high": interval.high,
            "n": best.confirm.n,
            "test": None if best.test is None else best.test.mean,
            "search_trial": best.candidate.search_trial,
            "confirm_trial": trial,
        }
        files["model"] = f"checkpoints/confirm/{trial}.safetensors"
    return described
