"""What ``python -m studies compare`` prints."""

import math

from mnist_core.counting import counted
from mnist_core.files import from_here
from studies.book.stored import Stored
from studies.findings.comparing import Comparison, Gap
from studies.report.console import make_console
from studies.report.fitting import fitted
from studies.report.numbers import gap_text, is_share, mean_text, unit

NAMED = 12
"""So many differing settings are listed."""


def print_comparison(a: Stored, b: Stored, found: Comparison) -> None:
    """Print what differs between A and B, their values side by side, and the verdict."""
    console = make_console()

    def say(line: str, style: str = "") -> None:
        console.print(line, style=style, markup=False, emoji=False, soft_wrap=True)

    for letter, one in (("A", a), ("B", b)):
        trained = len(one.search) + len(one.confirm)
        place = from_here(one.plan.folder)
        say(f"{letter}  {one.plan.name} in {place}: {one.phase}, {counted(trained, 'training')}")
    for title, lines in (("environment", found.environment), ("settings", found.settings)):
        for line in lines[:NAMED]:
            say(f"{title}, A -> B: {line}")
        if len(lines) > NAMED:
            say(f"{title}: {len(lines) - NAMED} more differ")
        if not lines:
            say(f"{title}: the same")
    metric = f"{found.metric} {unit(found.metric)}".strip()
    rows = [row for row in (found.trainings.gap, found.best, *found.rows) if row is not None]
    cells = [
        (
            row.label + ("" if row.same_params else " *"),
            mean_text(found.metric, row.a),
            mean_text(found.metric, row.b),
            gap_text(found.metric, row.gap),
            str(row.n) if row.paired else "no",
        )
        for row in rows
    ]
    console.print(fitted(console, (metric, "A", "B", "B - A, 95 %", "paired"), cells))
    if any(not row.same_params for row in rows):
        say("*: each study found hyperparameters of its own")
    if found.trainings.gap is not None:
        say(_trainings(found, found.trainings.gap))
    say(f"{found.outcome}: {found.sentence}", style="bold")


def _trainings(found: Comparison, gap: Gap) -> str:
    scale = 100 if is_share(found.metric) else 1
    said = (
        f"of {counted(gap.n, 'training')} with equal settings and seeds"
        f" {found.trainings.identical} are the same in every report, {gap.same} in their last"
        f" value; greatest difference {scale * gap.largest:.3g}{' points' if scale > 1 else ''}"
    )
    if not math.isnan(found.trainings.seconds):
        said += f"; B took {found.trainings.seconds:.2f} times as long"
    return said
