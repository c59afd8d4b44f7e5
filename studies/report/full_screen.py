"""The terminal's other screen, on which a view is drawn while it is shown.

Terminals wrap what stands on their usual screen when they are resized, so that a panel which is
drawn there again leaves torn pieces of the old one. A program has the other screen to itself, and
the terminal puts the usual one back when the view has ended.
"""

import io
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Self, TextIO, cast

from rich.console import Console, Group, RenderableType

LOOK_SECONDS = 0.1
"""Time between two looks at the terminal's size."""
_MOST = 2000
"""Pieces of printed text that are kept; of more the last ones."""


class FullScreen:
    """Draws ``frame()`` over the whole terminal of ``console``, again and again.

    What the program prints meanwhile is printed when the screen has been left, and each line of it
    is handed to ``say`` at once.
    """

    def __init__(
        self,
        console: Console,
        frame: Callable[[], RenderableType],
        *,
        seconds: float,
        say: Callable[[str], object],
    ) -> None:
        self._console = console
        self._frame = frame
        self._seconds = seconds
        self._kept = _Kept(say)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="live view", daemon=True)
        self._lock = threading.Lock()
        self._before: Any = None  # what handled SIGTSTP
        self._streams: tuple[TextIO, TextIO] | None = None
        self._drawn_for: tuple[int, int] | None = None
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        # The console follows sys.stdout, which is replaced, to where it leads now.
        self._console.file = self._console.file
        self._take()
        if threading.current_thread() is threading.main_thread():  # only it may handle signals
            self._before = signal.signal(signal.SIGTSTP, self._suspend)
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = map(self._kept.stream, self._streams)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        try:
            self._thread.join()
        finally:  # also if Ctrl-C comes just now
            if self._streams is not None:
                sys.stdout, sys.stderr = self._streams
            if self._before is not None:
                signal.signal(signal.SIGTSTP, self._before)
            self._give_back()
            self._kept.print()

    def _take(self) -> None:
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        self._drawn_for = None

    def _give_back(self) -> None:
        with suppress(OSError):  # the terminal has gone
            self._console.show_cursor(True)
            # tmux that was resized would put what stands there among its old lines.
            self._console.clear()
            self._console.set_alt_screen(False)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Handle Ctrl-Z: the shell gets its screen back until the process continues."""
        with self._lock:
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._take()

    def _draw(self) -> None:
        """Draw over the whole screen."""
        with self._lock:
            size = self._console.size
            self._drawn_for, self._drawn_at = (size.width, size.height), time.monotonic()
            # In a group it has its own height; blank lines follow down to the last one.
            self._console.update_screen(Group(self._frame()))

    def _draw_on(self) -> None:
        with suppress(OSError):  # the terminal has gone; the study continues without it
            self._draw()
            while not self._stopped.wait(LOOK_SECONDS):
                size = self._console.size
                late = time.monotonic() - self._drawn_at >= self._seconds
                if late or (size.width, size.height) != self._drawn_for:
                    self._draw()
            self._draw()


class _Kept:
    """Text that was printed while the screen belonged to the view."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._texts: deque[tuple[TextIO, str]] = deque(maxlen=_MOST)
        self._lost = 0

    def stream(self, real: TextIO) -> TextIO:
        """Return what replaces ``real`` meanwhile; a stream that is not a terminal stays."""
        return cast("TextIO", _Stream(real, self)) if real.isatty() else real

    def take(self, real: TextIO, text: str) -> None:
        """Keep ``text``, which was printed to ``real``."""
        self._lost += len(self._texts) == _MOST
        self._texts.append((real, text))
        for line in text.splitlines():
            if line.strip():
                self._say(line)

    def print(self) -> None:
        """Print what was kept where it was printed to."""
        with suppress(OSError, ValueError):  # the stream has no reader any more, or is closed
            if self._lost:
                self._texts[0][0].write(f"[{self._lost} earlier pieces of output left out]\n")
            for real, text in self._texts:
                real.write(text)
                real.flush()


class _Stream(io.TextIOBase):
    """Stands for standard output or error."""

    def __init__(self, real: TextIO, kept: _Kept) -> None:
        self._real = real
        self._kept = kept

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the real stream."""
        return self._real.encoding

    def isatty(self) -> bool:
        """Return whether the real stream is a terminal."""
        return self._real.isatty()

    def fileno(self) -> int:
        """Return the number of the real stream's file."""
        return self._real.fileno()

    def writable(self) -> bool:
        """Return whether it can be written to: it can."""
        return True

    def write(self, text: str, /) -> int:
        """Keep ``text`` until the screen is left."""
        if text:
            self._kept.take(self._real, text)
        return len(text)
