"""Tables that never cut a number, however narrow the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

LEAST_LABEL = 12
"""Characters to which the first column, which names the row, may be folded."""


def fitted(
    console: Console,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    styles: Sequence[str] = (),
    plain: bool = False,
) -> RenderableType:
    """Return a table as wide as ``console``, or a block for each row where no table fits.

    Cells are text, not markup; the first column names the row. ``plain``: the table is Markdown.
    """
    styles = styles or [""] * len(rows)
    tables = [_table(heads, rows, title, styles, plain=plain, tight=tight) for tight in (0, 1)]
    # Only the first column may be folded: a number that is cut is another number.
    folded = max(0, max((len(row[0]) for row in rows), default=0) - LEAST_LABEL)
    wide = console.options.update_width(10_000)
    natural = [console.measure(table, options=wide).maximum for table in tables]
    # A folded name looks like another row, so a tight table comes first.
    for spare in (0, folded):
        for table, width in zip(tables, natural, strict=True):
            if width - spare <= console.width:
                return table
    return _blocks(heads, rows, title, styles)


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str,
    styles: Sequence[str],
    *,
    plain: bool,
    tight: int,
) -> Table:
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        title_style="bold",
        box=box.MARKDOWN if plain else box.SIMPLE_HEAD,
        padding=(0, 1 - tight, 0, 0) if tight and not plain else (0, 1),
        pad_edge=not tight,
    )
    table.add_column(heads[0], overflow="fold")
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for row, style in zip(rows, styles, strict=True):
        table.add_row(*map(escape, row), style=style)
    return table


def _blocks(
    heads: Sequence[str], rows: Sequence[Sequence[str]], title: str, styles: Sequence[str]
) -> RenderableType:
    """Return each row as its name and, below it, a line for each other cell."""
    parts = [Text(title, "bold")] if title else []
    width = max(map(len, heads[1:]), default=0)
    for row, style in zip(rows, styles, strict=True):
        lines = [row[0], *(f"  {h:<{width}}  {c}" for h, c in zip(heads[1:], row[1:], strict=True))]
        parts.append(Text("\n".join(lines), style))
    return Group(*parts)
