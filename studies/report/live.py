"""The live view of a running study: a listener of its events."""

import time
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mnist_core.console.plain_text import counted
from studies.core.events import Event
from studies.core.formatting import duration, metric_text, params_text
from studies.core.trials import reason_text
from studies.report.progress import Progress, Running

# Under a per cent of a core (benchmarks/live_view.py).
REFRESH_PER_SECOND = 2
_BARS = "▁▂▃▄▅▆▇█"
_TITLES = {"search": "Search", "confirm": "Confirm", "test": "Test"}


def sparkline(values: Sequence[float], *, width: int = 12) -> str:
    """Draw the last ``width`` values as bars of eight heights, scaled to their own range."""
    # NaN is not equal to itself, and has no height.
    tail = [value for value in values[-width:] if value == value]
    if not tail:
        return ""
    low, high = min(tail), max(tail)
    if high == low:
        return _BARS[3] * len(tail)
    return "".join(_BARS[round((value - low) / (high - low) * 7)] for value in tail)


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
            already = f", {progress.done} of them done before" if progress.done else ""
            title = _TITLES.get(progress.phase, progress.phase)
            what = progress.judged if progress.phase == "test" else "trial"
            most = "at most " if data.get("at_most") else ""
            self._write(f"{title}: {most}{counted(progress.total, what)}{already}")
        elif event.kind == "message":
            self._write(str(data.get("text", "")))
        elif trial is not None:
            self._write(self._line(event, trial))

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
    """The panel on a terminal: running trials with their curves, the best, counts, time left."""

    def __init__(self, progress: Progress, console: Console, *, title: str, hint: str = "") -> None:
        self._progress = progress
        self._console = console
        self._title = title
        self._hint = hint
        self._live = Live(
            console=console,
            get_renderable=self._safely,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            # Other output goes above the panel, not through it.
            redirect_stdout=True,
            redirect_stderr=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in ``event``; rich's own thread draws, so this returns at once."""
        trial = self._progress.add(event)
        if event.kind in ("failed", "lost") and trial is not None:
            reason = reason_text(event.data.get("kind"), event.data.get("message"))
            self._progress.messages.append(f"trial {trial.number} {event.kind}: {reason}")

    def _safely(self) -> RenderableType:
        # The drawing thread reads what another thread writes: a dict that changes during a copy
        # raises RuntimeError. The next frame comes half a second later.
        try:
            return self.render()
        except RuntimeError:
            return Text("")

    def render(self, now: float | None = None) -> RenderableType:
        """Draw the panel as it stands at ``now`` (seconds since the epoch)."""
        progress = self._progress
        at = time.time() if now is None else now
        parts: list[RenderableType] = []
        if progress.phase == "test":
            # Only the trainer's models share one test set.
            what = "reading the test set, " if progress.judged == "model" else ""
            said = f"Test: {what}{counted(progress.total, progress.judged)} …"
            parts.append(Text(said, "bold"))
        else:
            parts.append(self._status(at))
        if progress.running:
            parts.append(self._running(at))
        if progress.best is not None:
            best = Text("best so far  ", style="dim")
            best.append(metric_text(progress.metric, progress.best.value), style="bold green")
            best.append(f"  {progress.best.what}  {params_text(progress.best.params)}")
            best.no_wrap, best.overflow = True, "ellipsis"
            parts.append(best)
        for message in list(progress.messages):
            parts.append(Text(message, style="yellow", no_wrap=True, overflow="ellipsis"))
        if self._hint:
            parts.append(Text(self._hint, style="dim", no_wrap=True, overflow="ellipsis"))
        return Panel(
            Group(*parts), title=Text(self._title), title_align="left", border_style="blue"
        )

    def _status(self, now: float) -> RenderableType:
        progress = self._progress
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        counts = Text()
        counts.append(f"{progress.counts['complete']} complete", style="green")
        counts.append(f"  {progress.counts['pruned']} pruned", style="cyan")
        if progress.paused:
            counts.append(f"  {len(progress.paused)} paused", style="blue")
        failed = progress.counts["failed"]
        counts.append(f"  {failed} failed", style="red" if failed else "dim")
        pace, left = progress.per_minute(now), progress.seconds_left(now)
        about = f"{pace:.0f}/min  " if pace is not None else ""
        about += f"{duration(left)} left" if left is not None else "estimating …"
        title = _TITLES.get(progress.phase, progress.phase or "Starting")
        line.add_row(
            Text(f"{title} {progress.done}/{progress.total}", style="bold"),
            ProgressBar(total=max(1, progress.total), completed=progress.done),
            Text(about),
        )
        return Group(line, counts)

    def _running(self, now: float) -> RenderableType:
        table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim", expand=True)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("parameters", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("step", justify="right", no_wrap=True)
        table.add_column("curve", no_wrap=True, min_width=6)
        table.add_column("last", justify="right", no_wrap=True, min_width=7)
        table.add_column("time", justify="right", no_wrap=True, min_width=5)
        for trial in list(self._progress.running.values()):
            curve = list(trial.curve)
            table.add_row(
                f"{trial.number}" + (f"'{trial.attempt}" if trial.attempt else ""),
                params_text(trial.params),
                str(trial.step or ""),
                sparkline(curve),
                metric_text(self._progress.metric, curve[-1]) if curve else "",
                duration(now - trial.began),
            )
        return table
