"""The console that the commands print to."""

import os
import sys

from rich.console import Console

from mnist_core.console.safe_console import SafeConsole
from mnist_core.console.streams import can_redraw

PLAIN_WIDTH = 100


def make_console() -> Console:
    """Return a console: as wide as the terminal, or elsewhere as ``COLUMNS`` says, or 100."""
    if can_redraw(sys.stdout):
        return SafeConsole(highlight=False)
    return SafeConsole(
        width=_plain_width(), color_system=None, force_terminal=False, highlight=False
    )


def _plain_width() -> int:
    """Return the width of a file or pipe: 100 columns fit into a README."""
    asked = os.environ.get("COLUMNS", "")
    # 0 and what is not a number say nothing, as for Python's own shutil.get_terminal_size.
    return (int(asked) if asked.isdecimal() else 0) or PLAIN_WIDTH


def drop_output() -> None:
    """Discard further output, when the reader of standard output has gone."""
    # Otherwise Python tries to write the rest at its exit, and complains.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
