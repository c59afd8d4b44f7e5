"""A bar that counts things done, on a terminal; nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from mnist_core.console.streams import can_redraw


@contextmanager
def counted_progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield ``advance(done, total)``; the bar called ``what`` appears with its first call."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    off = not can_redraw(console.file)
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        tasks: list[TaskID] = []

        def advance(done: int, total: int) -> None:
            if not tasks:
                tasks.append(bar.add_task(what, total=total))
            bar.update(tasks[0], completed=done, total=total)

        yield advance
