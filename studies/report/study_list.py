"""What ``studies list`` prints: the studies that can be run, and those that exist."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mnist_core import plugins
from mnist_core.console.plain_text import counted
from mnist_core.files import from_here
from studies.analysis.found_studies import CatalogStudy
from studies.analysis.kept_result import Best
from studies.analysis.listed_study import ELSEWHERE, UNREADABLE, FoundStudy
from studies.core.formatting import bare_text, mean_text, metric_text, unit
from studies.report.console import make_console

LEAST_PROSE = 16
"""Characters to which a column of words may be folded."""
NOT_JUDGED = "not judged"
_HEADS = ("study", "state", "best", "verdict", "date", "size", "folder")
_LEAVE = ("folder", "size", "date", "verdict")
"""Columns that a narrow terminal does without, the first one first."""
_PROSE = ("state", "verdict", "folder")
"""Columns that may take several lines; the others are names and numbers, which are never cut."""


def print_studies(
    shipped: Iterable[CatalogStudy], results: Path, found: Sequence[FoundStudy]
) -> None:
    """Print each study of the catalog, and each that exists with its state and what it found."""
    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("can be run", no_wrap=True)
    table.add_column("goal")
    for one in shipped:
        goal = f"broken: {one.broken}" if one.broken else one.goal
        own = f" ({one.file})" if one.own else ""
        table.add_row(one.name, escape(goal + own))
    console.print(table)
    for line in plugins.broken():
        console.print(escape(f"broken: {line}"))
    if not found:
        return
    place = escape(str(from_here(results)))
    console.print(f"in {place}: {counted(len(found), 'study', 'studies')}")
    console.print(fitting(console, [_row(one) for one in found]))
    for line in _troubles(found):
        console.print(escape(line), soft_wrap=True)


def fitting(console: Console, rows: Sequence[Sequence[str]]) -> Table:
    """Return the table of ``rows`` with as many columns as the console has room for."""
    wide = console.options.update_width(10_000)  # else what is measured ends at the console's width
    for dropped in range(len(_LEAVE) + 1):
        table = _table(rows, leave=_LEAVE[:dropped])
        if console.measure(table, options=wide).minimum <= console.width:
            return table
    # Two lines a study: a terminal of 30 columns holds the longest number in one of them.
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold")
    for name, state, best, *_ in rows:
        table.add_row(escape(f"{name}\n  {state}\n  {best}"))
    return table


def _table(rows: Sequence[Sequence[str]], leave: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    kept = [place for place, head in enumerate(_HEADS) if head not in leave]
    for place in kept:
        head, widest = _HEADS[place], max(len(row[place]) for row in rows)
        if head in _PROSE:
            table.add_column(head, overflow="fold", min_width=min(widest, LEAST_PROSE))
            continue
        right = "right" if head in ("best", "size") else "left"
        least = max(widest, len(head))
        table.add_column(head, justify=right, no_wrap=True, min_width=least)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(escape(row[place]) for place in kept))
    return table


def _row(study: FoundStudy) -> tuple[str, ...]:
    return (
        study.name,
        state_text(study),
        best_text(study.best),
        study.verdict or ("" if study.state in (ELSEWHERE, UNREADABLE) else NOT_JUDGED),
        "" if study.date is None else f"{study.date:%Y-%m-%d %H:%M}",
        "" if study.size is None else size_text(study.size),
        "" if study.folder is None else str(from_here(study.folder)),
    )


def state_text(study: FoundStudy) -> str:
    """Return the state in words: ``running, search 12 of 60``, ``stopped in confirm``."""
    if study.state == UNREADABLE:
        return "broken"
    if study.state == ELSEWHERE:
        return "kept elsewhere" if study.why else "its database is gone"
    if study.state == "finished":
        return "running, finished" if study.running else "finished"
    at = f"{study.done} of {study.planned}" if study.state == "search" else str(study.confirmed)
    how = f"running, {study.state}" if study.running else f"stopped in {study.state}"
    return f"{how}, {at} trials"


def best_text(best: Best | None) -> str:
    """Return the best value with its interval, or that it is of the search alone."""
    if best is None:
        return "-"
    if best.interval is None:
        return f"{metric_text(best.metric, best.value)} in search"
    one = best.interval
    low, high = (bare_text(best.metric, end) for end in (one.low, one.high))
    # The ends are cut at what the metric can be, so the mean need not be in the middle.
    cut = abs((one.mean - one.low) - (one.high - one.mean)) > 1e-9 * max(1.0, abs(one.mean))
    said = mean_text(best.metric, one)
    if cut and one.n > 1:
        said = f"{bare_text(best.metric, one.mean)} [{low}, {high}]"
    return f"{said} {unit(best.metric)}".strip()


def size_text(size: int) -> str:
    """Return a number of bytes in kB, MB or GB."""
    for name, step in (("GB", 1e9), ("MB", 1e6)):
        if size >= step:
            return f"{size / step:.1f} {name}"
    return f"{size / 1e3:.0f} kB"


def _troubles(found: Iterable[FoundStudy]) -> Iterator[str]:
    for study in found:
        if study.state == UNREADABLE:
            yield f"broken: {study.name or study.storage}: {study.why}"
        elif study.state == ELSEWHERE and study.why:
            yield f"{study.name} is kept in {study.why}; --set storage.url=URL asks there"
