"""The final table and the sentences under it: on a terminal, as plain text, as Markdown."""

from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape

from mnist_core.console.plain_text import counted
from mnist_core.console.plain_text import markdown as escaped
from mnist_core.console.shell_words import program
from studies.analysis.result import Row, StudyResult
from studies.core.formatting import (
    bare_text,
    duration,
    gap_text,
    mean_text,
    possible,
    unit,
)
from studies.report.fitting import fitted
from studies.report.front_table import (
    front_cells,
    front_headings,
    has_no_test,
    words_of,
)
from studies.report.table_notes import notes, partly_tested
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings


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
    """Name the metric; of the search and of the confirmation, if these are two."""
    metric, judged = result.plan.spec.metric, result.judged_metric
    if judged == metric:
        return f"{metric} {unit(metric)}".rstrip()
    said = f"{metric} in the search, {judged} in confirm"
    return f"{said}, both in {unit(metric)}" if unit(metric) else said


COLUMNS = ("choice", "trials", "search", "luck", "confirm", "minus best", "test", "s")
TUNED = ("configuration", "search", "confirm", "minus best", "test", "s")
"""The columns of a study that compares no choices."""


def headings(result: StudyResult) -> tuple[str, ...]:
    """Return the heads of the columns."""
    spec = result.plan.spec
    heads = (spec.scientific, *COLUMNS[1:]) if spec.compares else TUNED
    return _present(result, front_headings(result) if result.several else heads)


def cells(result: StudyResult, row: Row) -> tuple[str, ...]:
    """Return the cells of one row, as text: see ``headings`` and ``notes``."""
    if result.several:
        return _present(result, front_cells(result, row))
    metric = result.plan.spec.metric
    if row.candidate is not None and row.candidate.runner_up:
        return _present(result, _runner_up_cells(row, metric))
    return _present(result, _cells(result, row))


def _present(result: StudyResult, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the column ``test``, the last but one, if the objective has no test."""
    return (*columns[:-2], columns[-1]) if has_no_test(result) else columns


def _cells(result: StudyResult, row: Row) -> tuple[str, ...]:
    metric = result.plan.spec.metric
    trials, luck = [f"{row.complete}/{row.pruned}/{row.failed}"], [bare_text(metric, row.luck)]
    if not result.plan.spec.compares:  # all rows come of the same trials
        trials, luck = [], []
    return (
        row.label,
        *trials,
        bare_text(metric, row.candidate.search_value if row.candidate else None),
        *luck,
        mean_text(metric, row.confirm) + (_collapsed(row) or _of_fewer(row.stopped_after)),
        _gap(result, row),
        bare_text(metric, row.test.mean if row.test else None) + _of_fewer(partly_tested(row)),
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
    spent = f", {duration(sum(seconds))} of confirm {words_of(result).trial}s" if seconds else ""
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
