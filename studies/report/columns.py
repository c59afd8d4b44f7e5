"""Lines of columns for a terminal of any width: what has no room is left out, never cut.

Rich's own table shortens the cells of all columns, numbers too, and takes longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from mnist_core.console.plain_text import one_line
from studies.report.boxed import Part

LEAST_TEXT = 12
"""Characters that a column of text has at least, if it is shown."""
_GAP = 2


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of ``table_lines``.

    Attributes:
        right: its cells stand on the right, as numbers do.
        text: its cells may be shortened between two words.
        rank: of the columns that are too many the one with the highest rank is left out first; 0:
            it always stays.
        least: its width at least, so that it does not change with each value.
    """

    head: str
    right: bool = False
    text: bool = False
    rank: int = 0
    least: int = 0


@dataclass(frozen=True)
class Row:
    """The cells of one row, and its style."""

    cells: Sequence[str]
    style: str = ""


def table_lines(
    columns: Sequence[Column], rows: Sequence[Row], width: int, *, dots: str = "…"
) -> list[Part]:
    """Return a head and ``rows`` in as many ``columns`` as fit into ``width`` characters."""
    cells = [[one_line(cell) for cell in row.cells] for row in rows]
    widths = _widths(columns, cells, width)
    heads = [column.head for column in columns]
    lines = [_line(columns, heads, widths, "dim", dots)]
    return lines + [
        _line(columns, of_row, widths, row.style, dots)
        for of_row, row in zip(cells, rows, strict=True)
    ]


def shortened(text: str, width: int, *, dots: str = "…") -> str:
    """Return ``text``, cut between two words if it has more than ``width`` characters.

    Half a number would be another number.
    """
    if cell_len(text) <= width:
        return text
    words, kept, room = text.split(" "), "", width - len(dots) - 1
    for word in words:
        longer = f"{kept} {word}" if kept else word
        if cell_len(longer) > room:
            break
        kept = longer
    if kept:
        return f"{kept} {dots}"
    # The first word alone is too long; a name is told by how it begins.
    return set_cell_size(text, max(0, width - len(dots))) + dots[: max(0, width)]


def _widths(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int
) -> dict[int, int]:
    """Return the width of each column that is shown, by its index."""
    whole = {
        index: max(column.least, *(cell_len(row[index]) for row in [*cells, heads_of(columns)]))
        for index, column in enumerate(columns)
    }
    least = {
        index: min(most, max(LEAST_TEXT, columns[index].least)) if columns[index].text else most
        for index, most in whole.items()
    }
    shown = dict(least)
    while sum(shown.values()) + _GAP * (len(shown) - 1) > width:
        first = max(shown, key=lambda index: columns[index].rank)
        if columns[first].rank == 0:
            break
        del shown[first]
    room = width - sum(shown.values()) - _GAP * (len(shown) - 1)
    short = [index for index in shown if whole[index] > shown[index]]
    # The room goes to the columns of text in equal parts; what one does not need, to the next.
    for place, index in enumerate(sorted(short, key=lambda index: whole[index])):
        more = min(whole[index] - shown[index], max(0, room) // (len(short) - place))
        shown[index] += more
        room -= more
    return shown


def heads_of(columns: Sequence[Column]) -> list[str]:
    """Return the heads of ``columns``."""
    return [column.head for column in columns]


def _line(
    columns: Sequence[Column], cells: Sequence[str], widths: dict[int, int], style: str, dots: str
) -> Part:
    parts = []
    for index, width in widths.items():
        cell = cells[index]
        if columns[index].text:
            cell = shortened(cell, width, dots=dots)
        blank = " " * (width - cell_len(cell))
        parts.append(blank + cell if columns[index].right else cell + blank)
    return Part((" " * _GAP).join(parts), style)
