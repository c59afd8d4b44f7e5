"""The final table and the sentences under it: on a terminal, as plain text, as Markdown."""

from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape

from mnist_core.console.plain_text import counted
from mnist_core.console.plain_text import markdown as escaped
from studies.analysis.racing import ALPHA
from studies.analysis.result import Row, StudyResult
from studies.core.formatting import (
    bare_text,
    duration,
    gap_text,
    mean_text,
    params_text,
    possible,
    unit,
)
from studies.core.statistics import CONFIDENCE, NOISY_TIMES
from studies.report.fitting import fitted
from studies.report.front_table import (
    ended_early,
    front_cells,
    front_headings,
    front_lines,
    front_notes,
    reading_text,
)
from studies.report.warnings import warnings

NAMED_GAPS = 3
"""Ties that are named with their difference; further ones are only counted."""


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
    """Return the table of the study, best first; one line a choice and one for the default."""
    metric = result.plan.spec.metric
    # Elsewhere than on a terminal it is Markdown, which can be pasted, and has no colours.
    styles = []
    for row in result.rows:
        tie = row.label in result.ties
        styles.append("bold green" if row.label == result.best else "green" if tie else "")
    return fitted(
        console,
        headings(result),
        [cells(result, row) for row in result.rows],
        title=f"{result.plan.name}: {metric} {unit(metric)}".rstrip(),
        styles=styles if console.is_terminal else (),
        plain=not console.is_terminal,
    )


COLUMNS = ("choice", "trials", "search", "confirm", "minus best", "test", "s")


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
    return (
        row.label,
        f"{row.complete}/{row.pruned}/{row.failed}",
        bare_text(metric, row.candidate.search_value if row.candidate else None),
        mean_text(metric, row.confirm) + _of_fewer(row.stopped_after),
        _gap(result, row),
        bare_text(metric, row.test.mean if row.test else None) + _of_fewer(_partly_tested(row)),
        f"{row.seconds:.1f}" if row.seconds is not None else "-",
    )


def verdict_lines(result: StudyResult) -> list[str]:
    """Return sentences: the best choice or the tie, and its difference from the default."""
    if result.several:
        return front_lines(result)
    spec = result.plan.spec
    best = result.best_row
    if best is None or best.confirm is None or best.candidate is None:
        return ["Nothing is confirmed yet, so there is no best one."]
    metric, n = spec.metric, best.confirm.n
    value = f"{mean_text(metric, best.confirm)} {unit(metric)}".rstrip()
    seeds = f"{counted(n, 'fresh seed')}"
    lines = []
    tied = [row for row in result.rows if row.label in result.ties]
    # A row that is too noisy includes everything in its interval: nothing is known of it.
    rivals = [row for row in tied if row.label not in result.noisy]
    unclear = [row for row in tied if row.label in result.noisy]
    others = _rivals(result, best)
    if rivals:
        near = [f"{row.label} ({gap_text(metric, row.gap)})" for row in rivals[:NAMED_GAPS]]
        more = len(rivals) - len(near)
        named = ", ".join(near) + (f" and {more} more (see the table)" if more else "")
        lines.append(
            f"Tie: {best.label} has the best mean, {value} on {seeds}, but cannot be told apart"
            f" from {named}."
        )
    elif unclear:
        lines.append(
            f"Best as far as can be told: {best.label}, {value} on {seeds};"
            f" better than {others - len(unclear)} of the {counted(others, 'other')} confirmed."
        )
    elif others:
        other = f"each of the {others} others" if others > 1 else "the other one"
        lines.append(f"Best: {best.label}, {value} on {seeds}; better than {other} confirmed.")
    else:
        lines.append(f"Only {best.label} could be confirmed: {value} on {seeds}.")
    if unclear:
        named = ", ".join(f"{row.label} ({mean_text(metric, row.confirm)})" for row in unclear)
        lines.append(f"Too noisy to tell from it: {named}; more confirm.seeds would show.")
    # A choice whose trials all failed must not look beaten.
    missing = [row.label for row in result.rows if row.confirm is None]
    if missing:
        lines.append(f"Nothing is known of {', '.join(missing)}: not confirmed.")
    lines.append(f"Its configuration: {params_text(best.candidate.params)}")
    default = result.default_row
    if result.to_default is None:
        if default is not None and default.confirm is not None:
            lines.append(f"It is the default configuration ({default.label}) itself.")
    else:
        gap = result.to_default
        gain = f"{gap_text(metric, gap)} {unit(metric)}".rstrip()
        sign = spec.sign
        if gap.includes(0.0):
            said = "not told apart from it"
        else:
            said = "better" if sign * gap.mean > 0 else "WORSE"
        label = default.label if default else "the default"
        lines.append(f"Against {label}: {gain}, {said}.")
    return lines


def notes(result: StudyResult) -> list[str]:
    """Return lines that explain the columns and the intervals."""
    cut = ["Intervals end at 0 and 100 %, beyond which no share lies."] if _any_cut(result) else []
    return (front_notes(result) if result.several else _notes_of_choices(result)) + cut


def _any_cut(result: StudyResult) -> bool:
    metric = result.plan.spec.metric
    shown = [row.confirm for row in result.rows if row.confirm and row.confirm.n > 1]
    return any(possible(metric, interval) != interval for interval in shown)


def _notes_of_choices(result: StudyResult) -> list[str]:
    raced = any(row.stopped_after for row in result.rows)
    partly = any(map(_partly_tested, result.rows))
    return [
        *ended_early(result),
        *([f"This study was {result.forked}."] if result.forked else []),
        "trials: complete/pruned/failed in the search; search: best validation value there",
        f"confirm: mean ± {CONFIDENCE:.0%} t interval over fresh seeds; test: mean of the same"
        f" models ({reading_text(result)}); s: seconds a training",
        f"minus best: paired by seed, {CONFIDENCE:.0%} t interval, not corrected for the number of"
        " comparisons; a tie: it includes 0; too noisy: an interval more than"
        f" {NOISY_TIMES} times as wide as usual here",
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
        *(["test (n): of n of the confirmed models, see the warning"] if partly else []),
        "The intervals cover the randomness of training, not the choice of the images, which are"
        " the same for all.",
    ]


def markdown(result: StudyResult) -> str:
    """Return the short report, ``report.md``."""
    spec = result.plan.spec
    head = headings(result)
    lines = [f"# {escaped(result.plan.name)}", "", escaped(spec.goal), ""]
    lines += [f"Metric: `{spec.metric}` {unit(spec.metric)}; {_setting(result)}.", ""]
    lines += ["| " + " | ".join(map(escaped, head)) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(escaped, cells(result, row))) + " |" for row in result.rows]
    lines += ["", *(f"{escaped(line)}\n" for line in verdict_lines(result))]
    lines += [f"- Warning: {escaped(line)}" for line in warnings(result)]
    lines += ["", *(f"{escaped(line)}\n" for line in notes(result))]
    lines += [f"Test set read: {escaped(_readings(result))}."]
    return "\n".join(lines) + "\n"


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
    each += [f"{one.time} (by python -m mnist_core {one.by})" for one in test.outside]
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


def _rivals(result: StudyResult, best: Row) -> int:
    """Return the number of other configurations that could have won; rows may share one."""
    # A choice's best may be the default itself: two rows, one configuration, which counts once.
    seen = [best.candidate.params] if best.candidate else []
    for row in result.rows:
        able = row.confirm and row.candidate and row.candidate.feasible
        if able and row.candidate and row.candidate.params not in seen:
            seen.append(row.candidate.params)
    return len(seen) - 1


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
        "table": [dict(zip(heads, cells(result, row), strict=True)) for row in result.rows],
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
