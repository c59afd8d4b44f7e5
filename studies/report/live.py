"""The views of a running study, which are listeners of its events."""

import time
from collections import deque
from collections.abc import Callable
from typing import Self

from rich.console import Console, RenderableType

from mnist_core.console.plain_text import counted
from studies.core.events import Event
from studies.core.formatting import duration, metric_text, params_text
from studies.core.trials import reason_text
from studies.report.full_screen import FullScreen
from studies.report.panel import TITLES, Frame, draw
from studies.report.progress import Progress, Running

REFRESH_SECONDS = 1.0
"""Time between two drawings: under a per cent of a core (``benchmarks/live_view.py``)."""
_PRINTED = 4
"""Printed lines that the view shows, the last ones."""


class PlainView:
    """One line for each trial that ends, and for each phase and message."""

    def __init__(self, progress: Progress, write: Callable[[str], None], *, hint: str = "") -> None:
        self._progress = progress
        self._writer = write
        self._hint = hint
        self._read = True

    def __enter__(self) -> Self:
        if self._hint:
            self._write(self._hint)
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def _write(self, text: str) -> None:
        """Write ``text``; when the reader has gone (``| head``), the study continues without it."""
        if self._read:
            try:
                self._writer(text)
            except OSError:
                self._read = False

    def __call__(self, event: Event) -> None:
        """Print a line about ``event``, if it deserves one."""
        progress = self._progress
        trial = progress.add(event)
        data = event.data
        if event.kind == "phase":
            title = TITLES.get(progress.phase, progress.phase)
            self._write(f"{title}: {self._amount(at_most=bool(data.get('at_most')))}")
        elif event.kind == "message":
            self._write(str(data.get("text", "")))
        elif trial is not None:
            self._write(self._line(event, trial))

    def _amount(self, *, at_most: bool) -> str:
        """Say what the phase has left to do: ``60 trials``, ``18 of 58 trials left``."""
        progress = self._progress
        all_of_it = counted(
            progress.total, progress.judged if progress.phase == "test" else "trial"
        )
        most = "at most " if at_most else ""
        if not progress.done:
            return f"{most}{all_of_it}"
        left = progress.total - progress.done
        return f"{most}{left} of {all_of_it} left" if left > 0 else f"all {all_of_it} done"

    def _line(self, event: Event, trial: Running) -> str:
        progress, data = self._progress, event.data
        # Columns of one width: lines of a log are compared by eye.
        width = len(str(progress.total))
        head = f"[{progress.done:>{width}}/{progress.total}] trial {trial.number:<{width}}"
        seconds = float(data.get("seconds") or event.time - trial.began)
        if event.kind in ("complete", "pruned", "paused"):
            said = metric_text(progress.metric, data.get("value"))
            if event.kind != "complete":
                said += f" at step {data.get('step', trial.step)}"
        else:
            said = reason_text(data.get("kind", ""), data.get("message", ""))
            if event.kind == "lost":
                said += " (will be run again)"
        best = ""
        if progress.best:
            mean = " mean" if progress.best.seeds else ""
            best = f"  best{mean} {metric_text(progress.metric, progress.best.value)}"
        return (
            f"{head} {event.kind:<8} {said}  {duration(seconds)}{best}  {params_text(trial.params)}"
        )


class LiveView:
    """The panel on a terminal, which it has to itself until the view ends.

    Args:
        progress: takes in the events.
        console: drawn on; not one that others print to.
        title: of the panel.
        hint: the panel's last line.
    """

    def __init__(self, progress: Progress, console: Console, *, title: str, hint: str = "") -> None:
        self._progress = progress
        self._console = console
        self._title = title
        self._hint = hint
        self._printed: deque[str] = deque(maxlen=_PRINTED)
        self._screen = FullScreen(
            console, self._frame, seconds=REFRESH_SECONDS, say=self._printed.append
        )
        self._drawn: RenderableType = ""

    def __enter__(self) -> Self:
        self._screen.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._screen.__exit__(*exception)

    def __call__(self, event: Event) -> None:
        """Take in ``event``; a thread draws, so this returns at once."""
        self._progress.add(event)

    def _frame(self) -> RenderableType:
        # The drawing thread reads what another thread writes: a collection that changes during a
        # copy raises RuntimeError. The old frame stays, and the next one comes within a second.
        try:
            self._drawn = self.render(height=self._console.height)
        except RuntimeError:
            return self._drawn
        return self._drawn

    def render(
        self, now: float | None = None, *, width: int | None = None, height: int | None = None
    ) -> RenderableType:
        """Draw the panel as it stands at ``now`` (seconds since the epoch).

        Args:
            now: None: the clock's time.
            width: characters of a line; None: the console's.
            height: lines at most; None: as many as it needs.
        """
        frame = Frame(
            now=time.time() if now is None else now,
            width=width or self._console.width,
            height=height,
            ascii_only=self._console.options.ascii_only,
        )
        printed = list(self._printed)
        return draw(self._progress, frame, title=self._title, hint=self._hint, printed=printed)
