"""The console that the commands print to."""

import os
import sys

from rich.console import Console

from mnist_core.console.safe_console import SafeConsole
from mnist_core.console.streams import can_redraw

PLAIN_WIDTH = 100


def make_console() -> Console:
    """Return a console: the terminal's width, or 100 columns where there is no terminal."""
    # A file or pipe has no width: 100 columns fit into a README.
    if can_redraw(sys.stdout):
        return SafeConsole(highlight=False)
    return SafeConsole(width=PLAIN_WIDTH, color_system=None, force_terminal=False, highlight=False)


def drop_output() -> None:
    """Discard further output, when the reader of standard output has gone."""
    # Otherwise Python tries to write the rest at its exit, and complains.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
