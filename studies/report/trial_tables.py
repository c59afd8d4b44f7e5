"""The table of the trials, once for each order that it can be read in: a page has no script.

Tables that stand there sorted can be read by everybody, in every browser and on paper. Rows that
style sheets put in another order would be read out in the old one by most screen readers.
"""

from collections.abc import Sequence

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data
from studies.analysis.result import StudyResult
from studies.core.formatting import bare_text, params_text, unit
from studies.core.trials import TrialRecord
from studies.report.blocks import Details, Table

LISTED = 250
"""A table lists at most this number of trials."""


def tables(result: StudyResult, search: Sequence[TrialRecord]) -> tuple[Details, ...]:
    """Return the trials best first with their configurations, and briefly in other orders."""
    sign, spec = result.plan.goals.sign, result.plan.spec
    complete = figure_data.complete(search)
    numbers = {record.number for record in complete}
    rest = [record for record in search if record.number not in numbers]
    best = [*figure_data.best_first(complete, sign), *figure_data.best_first(rest, sign)]
    orders = [
        ("in their order", sorted(search, key=lambda record: record.number)),
        ("longest first", sorted(search, key=lambda record: -(record.seconds or 0.0))),
    ]
    if spec.compares:
        places = {choice: place for place, choice in enumerate(spec.choices)}
        of_choice = sorted(
            best, key=lambda r: places.get(r.params.get(spec.scientific), len(places))
        )
        orders.append((f"by {spec.scientific}", of_choice))
    # Paper need not have the same rows four times.
    again = len(search) <= LISTED
    return (
        Details("The trials, best first", (_table(result, best, "best first", whole=True),)),
        *(
            Details(f"The trials {order}", (_table(result, records, order),), again=again)
            for order, records in orders
        ),
    )


def _table(
    result: StudyResult, ordered: Sequence[TrialRecord], order: str, *, whole: bool = False
) -> Table:
    """Return the table of trials in an ``order``; ``whole``: with their configurations."""
    spec, shown = result.plan.spec, ordered[:LISTED]
    caption = f"{counted(len(ordered), 'trial')} of the search, {order}"
    if len(shown) < len(ordered):
        every = result.plan.commands.look("tables", "--to", "tables")
        caption = f"The first {len(shown)} of {caption}; all: {every}"
    head = ("trial", "state", f"{spec.metric} {unit(spec.metric)}".strip(), "reports", "s")
    more: tuple[str, ...] = (spec.scientific,) if spec.compares else ()
    rest = [tuple(str(one.params.get(name, "-")) for name in more) for one in shown]
    if whole:
        more = ("started", "configuration")
        rest = [(_started(one), params_text(one.params)) for one in shown]
    return Table(
        caption=caption,
        head=(*head, *more),
        rows=tuple(
            (*_cells(spec.metric, one), *last) for one, last in zip(shown, rest, strict=True)
        ),
        style="trials" if whole else "",
    )


def _cells(metric: str, record: TrialRecord) -> tuple[str, ...]:
    return (
        str(record.number),
        record.ending.word,
        bare_text(metric, record.value),
        str(max(record.curve, default=0)),
        f"{record.seconds:.1f}" if record.seconds is not None else "-",
    )


def _started(record: TrialRecord) -> str:
    return f"{record.started:%Y-%m-%d %H:%M:%S}" if record.started else "-"
