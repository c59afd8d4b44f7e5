"""The live view of a running study in a notebook's cell."""

import html
import importlib
import io
import sys
import time
from typing import Any, Self

from rich.console import Console

from studies.core.events import Event
from studies.report.live import LiveView

_WIDTH = 110  # characters of a line of the panel
REFRESH_PER_SECOND = 2


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


class NotebookView:
    """The panel of ``view`` in the cell's output, drawn again when something has happened."""

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self._handle: Any = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        shown: Any = importlib.import_module("IPython.display")  # IPython is not a requirement
        self._handle = shown.display(self, display_id=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._draw()

    def __call__(self, event: Event) -> None:
        """Take in ``event``, and draw the panel again unless that has just been done."""
        self._view(event)
        if time.monotonic() - self._drawn >= 1 / REFRESH_PER_SECOND:
            self._draw()

    def _repr_html_(self) -> str:
        """Return the panel as it stands."""
        text = io.StringIO()
        # In a notebook rich would otherwise show the panel itself, once more with each drawing.
        console = Console(file=text, width=_WIDTH, color_system=None, force_jupyter=False)
        console.print(self._view.render(width=_WIDTH))
        return f"<pre>{html.escape(text.getvalue())}</pre>"

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._handle is not None:
            self._handle.update(self)
