"""The panel of the live view: how a running study stands, for a terminal of any size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len

from mnist_core.console.plain_text import counted, one_line
from studies.core.formatting import duration, metric_text, params_text
from studies.report.boxed import BORDER, Boxed, Line, Part, line_width
from studies.report.columns import Row, shortened, table_lines
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


def draw(
    progress: Progress, frame: Frame, *, title: str, hint: str, printed: Sequence[str] = ()
) -> Boxed:
    """Return the panel of ``progress``; ``printed``: what the program printed last."""
    width = max(1, frame.width - BORDER)
    head = _head(progress, frame, width)
    foot = [[_short(hint, width, "dim", frame)]] if hint else []
    sections = [
        board(progress),
        _problems(progress),
        running(progress, frame.now, curves=not frame.ascii_only),
        ended(progress),
        _lines(progress.messages, "yellow"),
        _lines(printed, "dim"),
    ]
    # Border, head and foot are always shown.
    room = None if frame.height is None else frame.height - 2 - _HEAD_LINES - len(foot)
    if frame.width >= SIDE_BY_SIDE:
        half = (width - _BESIDE) // 2
        left = _stacked([*sections[:2], *sections[4:]], half, room, frame)
        right = _stacked(sections[2:4], half, room, frame)
        body = _beside(left, right, half)
    else:
        body = [[part] for part in _stacked(sections, width, room, frame)]
    return Boxed(
        title=shortened(one_line(title), max(1, width - 2), dots=frame.dots),
        lines=[*head, *body, *foot],
        width=frame.width,
        ascii_only=frame.ascii_only,
    )


def _head(progress: Progress, frame: Frame, width: int) -> list[Line]:
    """Return the phase with its bar, the counts and the best so far: ``_HEAD_LINES`` at most."""
    best = progress.best
    lines: list[Line] = []
    if progress.phase == "test":
        # Only the trainer's models share one test set.
        what = "reading the test set, " if progress.judged == "model" else ""
        said = f"Test: {what}{counted(progress.total, progress.judged)} {frame.dots}"
        lines.append([Part(said, "bold")])
    else:
        lines += [_status(progress, frame, width), _counts(progress)]
    if best is not None:
        line = [
            Part("best so far  "),
            Part(f"{metric_text(progress.metric, best.value)}  ", "bold green"),
        ]
        rest = f"{best.what}: {params_text(best.params)}"
        lines.append([*line, _short(rest, width - line_width(line), "", frame)])
    return lines


def _status(progress: Progress, frame: Frame, width: int) -> Line:
    pace, left = progress.per_minute(frame.now), progress.seconds_left(frame.now)
    about = f"{pace:.0f}/min  " if pace is not None else ""
    about += f"{duration(left)} left" if left is not None else "time left: not known yet"
    title = TITLES.get(progress.phase, progress.phase or "Starting")
    said = f"{title} {progress.done}/{progress.total}"
    room = max(0, width - len(said) - len(about) - 4)
    full = room * progress.done // max(1, progress.total)
    # Two characters, so that it is a bar without colours, too.
    done, rest = "#-" if frame.ascii_only else "━─"
    return [
        Part(f"{said}  ", "bold"),
        Part(done * full, "green"),
        Part(rest * (room - full), "dim"),
        Part(f"  {about}"),
    ]


def _counts(progress: Progress) -> Line:
    counts, failed = progress.counts, progress.counts["failed"]
    paused = f"  {len(progress.paused)} paused" if progress.paused else ""
    return [
        Part(f"{counts['complete']} complete", "green"),
        Part(f"  {counts['pruned']} pruned", "cyan"),
        Part(paused, "blue"),
        Part(f"  {failed} failed", "red" if failed else "dim"),
        Part(f"  {len(progress.running)} running"),
    ]


def _problems(progress: Progress) -> Section:
    """Return the reasons of failures, the latest first."""
    rows = []
    for problem in reversed(list(progress.problems.values())):
        times = f"{problem.count} times, last trial" if problem.count > 1 else "trial"
        rows.append(Row([f"{times} {problem.trial}: {problem.reason}"], "red"))
    return Section(head="errors", rows=rows, least=2)


def _lines(texts: Iterable[str], style: str) -> Section:
    """Return lines of text, of which the last ones are the most important."""
    return Section(rows=[Row([text], style) for text in texts], least=2, last=True)


def _stacked(sections: Sequence[Section], width: int, room: int | None, frame: Frame) -> list[Part]:
    """Return the lines of ``sections`` below each other, at most ``room``."""
    shown = [section for section in sections if section.rows]
    wanted = [section.lines for section in shown]
    given = wanted if room is None else _shared(shown, wanted, room)
    # A blank line before each table, as long as nothing else needs it.
    spare = room is None or sum(given) + len(given) <= room
    lines: list[Part] = []
    for section, most in zip(shown, given, strict=True):
        if most and spare:
            lines.append(Part(""))
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


def _section(section: Section, width: int, most: int, frame: Frame) -> list[Part]:
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
        lines = [Part(section.head, "dim")] if section.head else []
        lines += [_short(row.cells[0], width, row.style, frame) for row in rows]
    if hidden > 0:
        lines.append(Part(f"and {hidden} more", "dim"))
    return lines


def _short(text: str, width: int, style: str, frame: Frame) -> Part:
    return Part(shortened(one_line(text), width, dots=frame.dots), style)


def _beside(left: Sequence[Part], right: Sequence[Part], half: int) -> list[Line]:
    """Return the lines of two columns, the right one after ``half`` characters and a gap."""
    lines: list[Line] = []
    for one, other in zip_longest(left, right, fillvalue=Part("")):
        gap = Part(" " * (half - cell_len(one.text) + _BESIDE))
        lines.append([one, gap, other])
    return lines
