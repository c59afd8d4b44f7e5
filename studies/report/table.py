"""The final table and the sentences under it: on a terminal, as plain text, as Markdown."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mnist_core.files import write_atomically
from studies.report.numbers import (
    bare_text,
    duration,
    gap_text,
    mean_text,
    params_text,
    unit,
)
from studies.result import Row, StudyResult
from studies.statistics import CONFIDENCE, NOISY_TIMES

NAMED_GAPS = 3
"""So many ties are named with their difference, the others are only counted."""
ENOUGH_SEEDS = 3


def print_result(console: Console, result: StudyResult) -> None:
    """Print table, verdict, warnings and what the numbers mean."""
    console.print(table(result, plain=not console.is_terminal))
    console.print()
    for line in verdict_lines(result):
        console.print(escape(line), style="bold", highlight=False)
    for line in warnings(result):
        console.print(f"warning: {escape(line)}", style="yellow", highlight=False)
    console.print()
    for line in notes(result):
        console.print(escape(line), style="dim", highlight=False)


def table(result: StudyResult, *, plain: bool = False) -> Table:
    """Return the table of the study, best first; one line a choice and one for the default."""
    spec = result.plan.spec
    percent = f" {unit(spec.metric)}".rstrip()
    drawn = Table(
        title=f"{spec.name}: {spec.metric}{percent}",
        title_justify="left",
        title_style="bold",
        box=box.MARKDOWN if plain else box.SIMPLE_HEAD,
    )
    drawn.add_column(spec.scientific, no_wrap=True)
    for head in COLUMNS[1:]:
        drawn.add_column(head, justify="right", no_wrap=True)
    for row in result.rows:
        style = ""
        if row.label == result.best:
            style = "bold green"
        elif row.label in result.ties:
            style = "green"
        drawn.add_row(*cells(result, row), style="" if plain else style)
    return drawn


COLUMNS = ("choice", "trials", "search", "confirm", "minus best", "test", "s")


def cells(result: StudyResult, row: Row) -> tuple[str, ...]:
    """Return the cells of one row, as text: see ``COLUMNS`` and ``notes``."""
    metric = result.plan.spec.metric
    return (
        row.label,
        f"{row.complete}/{row.pruned}/{row.failed}",
        bare_text(metric, row.candidate.search_value if row.candidate else None),
        mean_text(metric, row.confirm),
        _gap(result, row),
        bare_text(metric, row.test.mean if row.test else None),
        f"{row.seconds:.1f}" if row.seconds is not None else "-",
    )


def verdict_lines(result: StudyResult) -> list[str]:
    """Say which choice is best or that it is a tie, and how far it is from the default."""
    spec = result.plan.spec
    best = result.best_row
    if best is None or best.confirm is None or best.candidate is None:
        return ["Nothing is confirmed yet, so there is no best one."]
    metric, n = spec.metric, best.confirm.n
    value = f"{mean_text(metric, best.confirm)} {unit(metric)}".rstrip()
    seeds = f"{n} fresh seed{'s' if n != 1 else ''}"
    lines = []
    tied = [row for row in result.rows if row.label in result.ties]
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
            f" better than {others - len(unclear)} of the {others} others confirmed."
        )
    elif others:
        other = f"each of the {others} others" if others > 1 else "the other one"
        lines.append(f"Best: {best.label}, {value} on {seeds}; better than {other} confirmed.")
    else:
        lines.append(f"Only {best.label} could be confirmed: {value} on {seeds}.")
    if unclear:
        named = ", ".join(f"{row.label} ({mean_text(metric, row.confirm)})" for row in unclear)
        lines.append(f"Too noisy to tell from it: {named}; more confirm.seeds would show.")
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
        sign = 1 if spec.direction == "maximize" else -1
        if gap.includes(0.0):
            said = "not told apart from it"
        else:
            said = "better" if sign * gap.mean > 0 else "WORSE"
        label = default.label if default else "the default"
        lines.append(f"Against {label}: {gain}, {said}.")
    return lines


def warnings(result: StudyResult) -> list[str]:
    """Say what weakens the comparison: bounds, missing trials, failures, nothing to compare."""
    plan = result.plan
    asked = plan.settings.search.trials_per_choice
    promised = plan.spec.trials_per_choice if asked is None else asked
    choices = [row for row in result.rows if not (row.candidate and row.candidate.default)]
    trials = {row.label: row.complete + row.pruned + row.failed for row in choices}
    found = []
    bounds = [named for row in choices for named in row.on_bound]
    if bounds:
        found.append(
            f"best values on a bound of the space: {', '.join(bounds)}; widen it and search again"
        )
    few = [f"{label} {count}" for label, count in trials.items() if count < promised]
    if few:
        found.append(
            f"fewer than the {promised} trials promised, so under-tuned: {', '.join(few)}"
            f" (of {plan.trials} in all; raise --trials)"
        )
    for row in result.rows:
        if row.candidate is None and trials[row.label]:
            found.append(f"{row.label}: none of its {trials[row.label]} trials ran its full budget")
        if row.confirm and row.confirm.n > 1 and row.confirm.half_width == 0:
            found.append(
                f"{row.label}: all seeds gave the same value, so its interval says nothing"
            )
        if row is result.best_row and row.label in result.noisy:
            found.append(
                f"{row.label}: its seeds differ more than {NOISY_TIMES} times as much as is usual"
                " here; raise confirm.seeds"
            )
        if row.confirm_failed:
            found.append(f"{row.label}: {row.confirm_failed} confirm trainings failed")
        elif row.confirm and row.confirm.n < plan.confirm_seeds:
            found.append(
                f"{row.label}: {row.confirm.n} of {plan.confirm_seeds} confirm seeds have a value"
            )
    if plan.confirm_seeds < ENOUGH_SEEDS:
        found.append(
            f"{plan.confirm_seeds} confirm seeds are too few for a claim;"
            f" use {ENOUGH_SEEDS} or more"
        )
    if len(result.test.times) > 1:
        found.append(
            f"the test set was read {len(result.test.times)} times:"
            f" {'; '.join(result.test.why_again())}"
        )
    if result.failures:
        reason, count = result.failures[0]
        total = sum(number for _, number in result.failures)
        found.append(f"{total} search trials failed; most often ({count}): {reason}")
    return found


def notes(result: StudyResult) -> list[str]:
    """Say what the columns are and what the intervals cover."""
    read = result.test.times
    early = str(result.stopped) if result.stopped else ""
    when = f"read {len(read)} time{'s' if len(read) != 1 else ''}" if read else "not read yet"
    return [
        *([f"{early[:1].upper()}{early[1:]}."] if early else []),
        "trials: complete/pruned/failed in the search; search: best validation value there",
        f"confirm: mean ± {CONFIDENCE:.0%} t interval over fresh seeds; test: mean of the same"
        f" models ({when}); s: seconds a training",
        f"minus best: paired by seed, {CONFIDENCE:.0%} t interval, not corrected for the number of"
        " comparisons; a tie: it includes 0; too noisy: an interval more than"
        f" {NOISY_TIMES} times as wide as usual here",
        "The intervals cover the randomness of training, not the choice of the images, which are"
        " the same for all.",
    ]


def markdown(result: StudyResult) -> str:
    """Return the short report, ``report.md``."""
    spec = result.plan.spec
    head = (spec.scientific, *COLUMNS[1:])
    lines = [f"# {spec.name}", "", spec.goal, ""]
    lines += [f"Metric: `{spec.metric}` {unit(spec.metric)}; {_setting(result)}.", ""]
    lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(cells(result, row)) + " |" for row in result.rows]
    lines += ["", *(f"{line}\n" for line in verdict_lines(result))]
    lines += [f"- Warning: {line}" for line in warnings(result)]
    lines += ["", *(f"{line}\n" for line in notes(result))]
    lines += [f"Test set read: {', '.join(result.test.times) or 'never'}."]
    return "\n".join(lines) + "\n"


def write_markdown(result: StudyResult, path: Path) -> Path:
    """Write ``report.md`` to ``path``, whole or not at all."""
    write_atomically(path, markdown(result))
    return path


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
    """Count the other configurations that were confirmed; one that two rows share counts once."""
    seen = [best.candidate.params] if best.candidate else []
    for row in result.rows:
        if row.confirm and row.candidate and row.candidate.params not in seen:
            seen.append(row.candidate.params)
    return len(seen) - 1


def _setting(result: StudyResult) -> str:
    states = [f"{count} {state.lower()}" for state, count in sorted(result.states.items())]
    seconds = [record.seconds or 0.0 for of in result.confirm.values() for record in of]
    spent = f", {duration(sum(seconds))} of confirm trainings" if seconds else ""
    return f"search trials: {', '.join(states) or 'none'}{spent}"
