"""The console that the commands print to."""

import sys

from rich.console import Console

PLAIN_WIDTH = 100


def make_console() -> Console:
    """Return a console: the terminal's width, or 100 columns where there is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(width=PLAIN_WIDTH, color_system=None, force_terminal=False, highlight=False)
