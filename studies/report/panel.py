"""The panel of the live view: how a running study stands, for a terminal of any size."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mnist_core.console.plain_text import counted, one_line
from studies.core.formatting import duration, metric_text, params_text
from studies.report.columns import Line, shortened, table_lines
from studies.report.panel_tables import Section, board, ended, running
from studies.report.progress import Progress

TITLES = {"search": "Search", "confirm": "Confirm", "test": "Test"}
SIDE_BY_SIDE = 150
"""Columns of a terminal from which the tables stand in two columns."""
_BESIDE = 3
"""Columns between them."""
_HEAD_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a panel is drawn for.

    Attributes:
        now: seconds since the epoch.
        width: of the terminal, in characters.
        height: lines that the panel may have; None: as many as it needs.
        ascii_only: the terminal has no other characters.
    """

    now: float
    width: int
    height: int | None = None
    ascii_only: bool = False

    @property
    def dots(self) -> str:
        """What stands for text that was left out."""
        return "..." if self.ascii_only else "…"


def draw(progress: Progress, frame: Frame, *, title: str, hint: str) -> RenderableType:
    """Return the panel of ``progress``."""
    width = max(1, frame.width - 4)  # within the border
    head = _head(progress, frame, width)
    foot = [_short(hint, width, "dim", frame)] if hint else []
    sections = [
        board(progress),
        _problems(progress),
        running(progress, frame.now, curves=not frame.ascii_only),
        ended(progress),
        _messages(progress),
    ]
    # Border, head and foot are always shown.
    room = None if frame.height is None else frame.height - 2 - _HEAD_LINES - len(foot)
    if frame.width >= SIDE_BY_SIDE:
        half = (width - _BESIDE) // 2
        left = _stacked([sections[0], sections[1], sections[4]], half, room, frame)
        right = _stacked([sections[2], sections[3]], half, room, frame)
        body: list[RenderableType] = [_beside(left, right, half)]
    else:
        body = list(_stacked(sections, width, room, frame))
    name = Text(shortened(one_line(title), max(1, width - 2), dots=frame.dots))
    return Panel(
        Group(*head, *body, *foot),
        title=name,
        title_align="left",
        border_style="blue",
        width=frame.width,
    )


def _head(progress: Progress, frame: Frame, width: int) -> list[RenderableType]:
    """Return the phase with its bar, the counts and the best so far: ``_HEAD_LINES`` at most."""
    best = progress.best
    lines: list[RenderableType] = []
    if progress.phase == "test":
        # Only the trainer's models share one test set.
        what = "reading the test set, " if progress.judged == "model" else ""
        said = f"Test: {what}{counted(progress.total, progress.judged)} {frame.dots}"
        lines.append(Text(said, "bold", no_wrap=True, overflow="crop"))
    else:
        lines += [_status(progress, frame.now), _counts(progress)]
    if best is not None:
        value = metric_text(progress.metric, best.value)
        rest = one_line(f"{best.what}: {params_text(best.params)}")
        line = Text("best so far  ", no_wrap=True, overflow="crop")
        line.append(f"{value}  ", "bold green")
        line.append(shortened(rest, width - len(line), dots=frame.dots))
        lines.append(line)
    return lines


def _status(progress: Progress, now: float) -> RenderableType:
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    pace, left = progress.per_minute(now), progress.seconds_left(now)
    about = f"{pace:.0f}/min  " if pace is not None else ""
    about += f"{duration(left)} left" if left is not None else "time left: not known yet"
    title = TITLES.get(progress.phase, progress.phase or "Starting")
    line.add_row(
        Text(f"{title} {progress.done}/{progress.total}", "bold"),
        ProgressBar(total=max(1, progress.total), completed=progress.done),
        Text(about),
    )
    return line


def _counts(progress: Progress) -> Text:
    counts = Text(no_wrap=True, overflow="crop")
    counts.append(f"{progress.counts['complete']} complete", "green")
    counts.append(f"  {progress.counts['pruned']} pruned", "cyan")
    if progress.paused:
        counts.append(f"  {len(progress.paused)} paused", "blue")
    failed = progress.counts["failed"]
    counts.append(f"  {failed} failed", "red" if failed else "dim")
    counts.append(f"  {len(progress.running)} running")
    return counts


def _problems(progress: Progress) -> Section:
    """Return the reasons of failures, the latest first."""
    rows = []
    for problem in reversed(list(progress.problems.values())):
        times = f"{problem.count} times, last trial" if problem.count > 1 else "trial"
        rows.append(Line([f"{times} {problem.trial}: {problem.reason}"], "red"))
    return Section(head="errors", rows=rows, least=2)


def _messages(progress: Progress) -> Section:
    rows = [Line([message], "yellow") for message in progress.messages]
    return Section(rows=rows, least=2, last=True)


def _stacked(sections: Sequence[Section], width: int, room: int | None, frame: Frame) -> list[Text]:
    """Return the lines of ``sections`` below each other, at most ``room``."""
    shown = [section for section in sections if section.rows]
    wanted = [section.lines for section in shown]
    given = wanted if room is None else _shared(shown, wanted, room)
    # A blank line before each table, as long as nothing else needs it.
    spare = room is None or sum(given) + len(given) <= room
    lines: list[Text] = []
    for section, most in zip(shown, given, strict=True):
        if most and spare:
            lines.append(Text(""))
        lines += _section(section, width, most, frame)
    return lines


def _shared(sections: Sequence[Section], wanted: Sequence[int], room: int) -> list[int]:
    """Return the number of lines of each section: first the least that it needs, then more."""
    given = [0] * len(sections)
    for most in ([section.least for section in sections], wanted):
        for index, one in enumerate(most):
            more = min(min(one, wanted[index]) - given[index], room)
            # A head without a row says nothing.
            if more > 0 and given[index] + more > (1 if sections[index].has_head else 0):
                given[index] += more
                room -= more
    return given


def _section(section: Section, width: int, most: int, frame: Frame) -> list[Text]:
    if most <= 0:
        return []
    rows, room = list(section.rows), most - section.has_head
    hidden = len(rows) - room
    if section.last:
        rows, hidden = rows[-room:], 0
    elif hidden > 0:
        rows, hidden = rows[: room - 1], hidden + 1
    if section.columns:
        lines = table_lines(section.columns, rows, width, dots=frame.dots)
    else:
        lines = [Text(section.head, "dim")] if section.head else []
        lines += [_short(row.cells[0], width, row.style, frame) for row in rows]
    if hidden > 0:
        lines.append(Text(f"and {hidden} more", "dim"))
    return lines


def _short(text: str, width: int, style: str, frame: Frame) -> Text:
    said = shortened(one_line(text), width, dots=frame.dots)
    return Text(said, style, no_wrap=True, overflow="crop")


def _beside(left: Sequence[Text], right: Sequence[Text], half: int) -> RenderableType:
    grid = Table.grid(padding=(0, _BESIDE, 0, 0))
    grid.add_column(width=half)
    grid.add_column(width=half)
    grid.add_row(Group(*left), Group(*right))
    return grid
