"""The picture of a run, as SVG: the live view in the middle of the search, and the result."""

import io
from pathlib import Path

from rich.console import Console, RenderableType

from mnist_core.console.safe_console import SafeConsole
from mnist_core.files import write_atomically
from studies.analysis.result import StudyResult
from studies.core.events import Event
from studies.report.live import LiveView
from studies.report.progress import Progress
from studies.report.table import print_result

WIDTH = 104


class Snapshot:
    """A listener that keeps the live view of the middle of the search in ``taken``."""

    def __init__(self, progress: Progress, *, title: str) -> None:
        self.taken: RenderableType | None = None
        self._progress = progress
        self._view = LiveView(progress, _console(), title=title)

    def __call__(self, event: Event) -> None:
        """Take in ``event``; keep the view once."""
        self._view(event)
        progress = self._progress
        # Midway the panel has running trials, a best one, counts and a pace.
        middle = progress.phase == "search" and 2 * progress.done >= progress.total
        if self.taken is None and middle and event.kind == "report":
            self.taken = self._view.render(event.time)


def save_picture(path: Path, result: StudyResult, snapshot: Snapshot) -> None:
    """Write the live view of ``snapshot`` and the result to ``path``, as SVG."""
    console = _console()
    if snapshot.taken is not None:
        console.print(snapshot.taken)
    print_result(console, result)
    svg = console.export_svg(title=result.plan.commands.run())
    write_atomically(path, svg)


def _console() -> Console:
    return SafeConsole(
        record=True, force_terminal=True, width=WIDTH, file=io.StringIO(), color_system="truecolor"
    )
