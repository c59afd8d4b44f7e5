"""A console that shows text of others and never obeys it."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mnist_core.console.plain_text import safe_lines


class SafeConsole(Console):
    """Rich's console; control characters in what is printed are shown as escapes."""

    # Rich itself takes only five of them out, and lets ESC through.

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of ``renderable``; those that are rich's own controls stay."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else safe_lines(text), style, control)


def text_console(width: int = 160, *, soft_wrap: bool = True) -> SafeConsole:
    """Return a console that prints text as it is; in a pipe it has ``width`` columns."""
    console = SafeConsole(highlight=False, soft_wrap=soft_wrap, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = width
    return console
