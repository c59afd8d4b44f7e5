"""The tables of a study's page."""

from collections.abc import Sequence
from dataclasses import dataclass

from mnist_core.console.plain_text import counted
from studies.analysis.audit import Audit
from studies.analysis.result import StudyResult
from studies.core.formatting import bare_text, params_text, unit
from studies.core.trials import TrialRecord
from studies.report.overview import describe_parameter
from studies.report.table import cells, headings

TOP = 20
"""So many of the best trials are listed."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: the first column names the row.

    Attributes:
        caption: what it shows.
        head: names of the columns.
        rows: cells as text.
        marks: for each row what is said beside its name: "best", "tie", "too noisy" …, or "".
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()


def results(result: StudyResult) -> Table:
    """Return a row for each scientific value and the default, best first."""
    spec = result.plan.spec
    marks = tuple(result.standing(row) for row in result.rows)
    return Table(
        caption=f"{spec.metric} {unit(spec.metric)}".strip() + ", best first",
        head=(*headings(result), "configuration" if result.several else "its best configuration"),
        rows=tuple(
            (
                *cells(result, row),
                params_text(row.candidate.params) if row.candidate else "-",
            )
            for row in result.rows
        ),
        marks=marks,
    )


def seeds(result: StudyResult) -> Table | None:
    """Return each configuration's value on each fresh seed; None: nothing is confirmed."""
    metric = result.plan.spec.metric
    rows = [row for row in result.rows if row.values]
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
        marks=tuple("best" if row.label == result.best else "" for row in rows),
    )


def best_trials(result: StudyResult, search: Sequence[TrialRecord]) -> Table:
    """Return the best trials of the search."""
    metric = result.plan.spec.metric
    sign = 1.0 if result.plan.spec.direction == "maximize" else -1.0
    complete = [r for r in search if r.state == "COMPLETE" and r.value is not None]
    best = sorted(complete, key=lambda r: (-sign * (r.value or 0.0), r.number))[:TOP]
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
    )


def space(result: StudyResult) -> Table:
    """Return the parameters with their roles."""
    spec = result.plan.spec
    return Table(
        caption="The search space",
        head=("parameter", "role", "values"),
        rows=tuple(
            (
                name,
                "scientific" if name == spec.scientific else "nuisance",
                describe_parameter(name, parameter),
            )
            for name, parameter in spec.space.parameters.items()
        ),
    )


def audited(done: Audit) -> Table:
    """Return what each pruner would have saved and lost."""

    def percent(share: float) -> str:
        return f"{100 * share:.0f} %"

    return Table(
        caption="Other pruners on this study's curves (*: its own)",
        head=("pruner", "saved", "95 %", "best lost", "chance", "95 %"),
        rows=tuple(
            (
                verdict.label + (" *" if verdict.own else ""),
                percent(verdict.saved),
                f"{100 * verdict.saved_range[0]:.0f}-{100 * verdict.saved_range[1]:.0f}",
                "yes" if verdict.loses else "no",
                percent(verdict.chance),
                f"{100 * verdict.chance_range[0]:.0f}-{100 * verdict.chance_range[1]:.0f}",
            )
            for verdict in done.verdicts
        ),
        marks=tuple("own" if verdict.own else "" for verdict in done.verdicts),
    )
