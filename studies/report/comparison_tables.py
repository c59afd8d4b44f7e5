"""What ``python -m studies compare`` and ``python -m studies audit`` print."""

import math

from mnist_core.console.plain_text import counted
from mnist_core.files import from_here
from studies.analysis.audit import Audit
from studies.analysis.comparison import Comparison
from studies.analysis.gaps import Gap
from studies.analysis.stored_study import Stored
from studies.core.formatting import gap_text, is_share, mean_text, unit
from studies.report.console import make_console
from studies.report.fitting import fitted
from studies.report.front_table import judged_on


def print_audit(study: str, metric: str, audit: Audit) -> None:
    """Print the verdicts, how they were found, and their limits."""
    curves, console = audit.curves, make_console()
    heads = ("pruner", "saved", "saved, drawn", "95 %", "best lost", "chance", "95 %", "given up")
    rows = [
        (
            verdict.label + (" *" if verdict.own else ""),
            percent(verdict.saved),
            percent(verdict.mean_saved),
            percents(verdict.saved_range),
            "yes" if verdict.loses else "no",
            percent(verdict.chance),
            percents(verdict.chance_range),
            f"{verdict.given_up:.4f}",
        )
        for verdict in audit.verdicts
    ]
    console.print(f"{study}: pruners replayed on {counted(len(curves.full), 'full curve')}")
    console.print(fitted(console, heads, rows))
    stopped, seconds = len(curves.stopped), sum(curve.seconds for curve in curves.full)
    own = any(verdict.own for verdict in audit.verdicts)
    for line in (
        "* the study's own pruner (as the settings have it now)" if own else "",
        f"saved, best lost: fraction of the {seconds:,.0f} s of these trials, and whether the"
        " best trial is stopped, in the recorded order",
        f"drawn: {counted(audit.draws, 'study', 'studies')} put together from full curves with"
        f" replacement, in random orders, {curves.workers} at a time; {len(curves.kept)} kept"
        + (
            f", and {counted(stopped, 'sentinel')} for"
            f" {counted(stopped + curves.pruned, 'trial')} that the study's"
            " pruner stopped"
            if stopped
            else ""
        ),
        "chance: of stopping the trial that is best at its end. Both 95 % intervals are for another"
        " study of such trials; one study has few best trials, so it says little about the chance",
        f"given up: {metric} of that trial minus that of the best one left, on average",
    ):
        if line:
            console.print(line, markup=False)
    for warning in audit.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)


def percent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:.0f} %"


def percents(ends: tuple[float, float]) -> str:
    """Write both ends of a range of shares in per cent."""
    return f"{100 * ends[0]:.0f}-{100 * ends[1]:.0f}"


NAMED = 12
"""Differing settings that are listed at most."""


def print_comparison(a: Stored, b: Stored, found: Comparison) -> None:
    """Print what differs between A and B, their values side by side, and the verdict."""
    console = make_console()

    def say(line: str, style: str = "") -> None:
        console.print(line, style=style, markup=False, emoji=False, soft_wrap=True)

    for letter, one in (("A", a), ("B", b)):
        trained = len(one.search) + len(one.confirm)
        place = from_here(one.plan.folder)
        images = judged_on(one.result) if one.result is not None else ""
        judged = f", confirmed{images}" if images else ""
        trainings = counted(trained, "trial")
        say(f"{letter}  {one.plan.name} in {place}: {one.phase}, {trainings}{judged}")
    # Two commits may differ in a hundred settings; the first twelve show which kind it is.
    for title, lines in (("environment", found.environment), ("settings", found.settings)):
        for line in lines[:NAMED]:
            say(f"{title}, A -> B: {line}")
        if len(lines) > NAMED:
            say(f"{title}: {len(lines) - NAMED} more differ")
        if not lines:
            say(f"{title}: the same")
    console.print(fitted(console, comparison_head(found), comparison_cells(found)))
    for line in comparison_notes(found):
        say(line)
    say(found.verdict.sentence, style="bold")


def comparison_head(found: Comparison) -> tuple[str, ...]:
    """Return the heads of the columns of ``comparison_cells``."""
    metric = f"{found.metric} {unit(found.metric)}".strip()
    return (metric, "A", "B", "B - A, 95 %", "paired", "tuned")


def comparison_cells(found: Comparison) -> list[tuple[str, ...]]:
    """Return a row for each thing that both studies measured."""
    return [
        (
            row.label,
            mean_text(found.metric, row.a),
            mean_text(found.metric, row.b),
            gap_text(found.metric, row.gap),
            str(row.n) if row.paired else "no",
            "alike" if row.same_params else "apart",
        )
        for row in found.gaps
    ]


def comparison_notes(found: Comparison) -> list[str]:
    """Return the sentences under the table."""
    lines = [
        "paired: the number of values that are compared one by one, by their seed; tuned: alike:"
        " both have the same hyperparameters; apart: each study found its own"
    ]
    if found.trainings.gap is not None:
        lines.append(_trainings(found, found.trainings.gap))
    return lines


def _trainings(found: Comparison, gap: Gap) -> str:
    scale = 100 if is_share(found.metric) else 1
    said = (
        f"of {counted(gap.n, 'trial')} with equal settings and seeds"
        f" {found.trainings.identical} are the same in every report, {gap.same} in their last"
        f" value; greatest difference {scale * gap.largest:.3g}{' points' if scale > 1 else ''}"
    )
    if not math.isnan(found.trainings.seconds):
        said += f"; B took {found.trainings.seconds:.2f} times as long"
    return said
