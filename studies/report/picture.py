"""A picture (SVG) of a study for a README: the live view midway, and the result."""

import io
from pathlib import Path

from rich.console import Console, RenderableType

from mnist_core.files import write_atomically
from mnist_core.safe_console import SafeConsole
from studies.findings.result import StudyResult
from studies.hints import run_command
from studies.live import LiveView
from studies.planning.plan import Plan
from studies.progress import Progress
from studies.report.table import print_result
from studies.trail.events import Event

WIDTH = 104


class Snapshot:
    """A listener that keeps the live view as it stood in the middle of the search.

    Attributes:
        taken: what the view showed, or None if the search did not run.
    """

    def __init__(self, plan: Plan) -> None:
        self.taken: RenderableType | None = None
        self._progress = Progress(metric=plan.spec.metric, direction=plan.spec.direction)
        title = run_command(plan)
        self._view = LiveView(self._progress, _console(), title=title)

    def __call__(self, event: Event) -> None:
        """Take in ``event``; take the picture once."""
        self._view(event)
        progress = self._progress
        middle = progress.phase == "search" and 2 * progress.done >= progress.total
        if self.taken is None and middle and event.kind == "report":
            self.taken = self._view.render(event.time)


def save_picture(path: Path, result: StudyResult, snapshot: Snapshot) -> None:
    """Write the picture to ``path``.

    Raises:
        UserError: it cannot be written.
    """
    console = _console()
    if snapshot.taken is not None:
        console.print(snapshot.taken)
    print_result(console, result)
    svg = console.export_svg(title=run_command(result.plan))
    write_atomically(path, svg)


def _console() -> Console:
    return SafeConsole(
        record=True, force_terminal=True, width=WIDTH, file=io.StringIO(), color_system="truecolor"
    )
