"""Whether output goes to a screen on which lines can be drawn over, as progress bars are."""

import os
from typing import IO

_IN_NOTEBOOK = "JPY_PARENT_PID"
"""Jupyter gives it to its kernels. The terminal of what they start only adds lines."""


def can_redraw(file: IO[str] | None) -> bool:
    """Return whether ``file`` is a terminal that can move its cursor.

    ``rich`` believes so, too, if FORCE_COLOR is set; but colours in a file are wanted, and bars
    drawn over each other are not.
    """
    if file is None or not file.isatty():
        return False
    return os.environ.get("TERM") not in ("dumb", "unknown") and _IN_NOTEBOOK not in os.environ
