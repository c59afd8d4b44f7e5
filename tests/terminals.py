"""A real terminal, tmux without a window, in which a program runs.

Like most terminals it wraps lines when it becomes narrower, and has a second screen.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from needs import missing

_COUNT = itertools.count()
_ENDED = "(ended)"


class Terminal:
    """The terminal in which ``command`` runs; its last screen stays when the program has ended."""

    def __init__(self, folder: Path, command: str, *, width: int, height: int) -> None:
        settings = folder / "tmux.conf"
        settings.write_text("set -g history-limit 5000\n")
        self._name = f"test-{os.getpid()}-{next(_COUNT)}"
        unset = ("TMUX", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "JPY_PARENT_PID")
        env = {name: value for name, value in os.environ.items() if name not in unset}
        size = ("-x", str(width), "-y", str(height))
        # The screen stays until the terminal is closed.
        whole = f"{command}; echo '{_ENDED}'; exec sleep 1800"
        self._tmux("-f", str(settings), "new-session", "-d", *size, whole, env=env)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size; the program gets SIGWINCH."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> list[str]:
        """Return the lines that are seen, without blanks at their ends."""
        return self._tmux("capture-pane", "-p").splitlines()

    def everything(self) -> list[str]:
        """Return the lines that are seen and, before them, those that have left the screen."""
        return self._tmux("capture-pane", "-p", "-S", "-").splitlines()

    def press(self, key: str) -> None:
        """Press a key, e.g. ``C-c``."""
        self._tmux("send-keys", key)

    def type(self, line: str) -> None:
        """Type ``line`` and press Enter."""
        self._tmux("send-keys", "-l", line)
        self.press("Enter")

    @property
    def ended(self) -> bool:
        """Whether the program has ended and all that it printed is there."""
        return _ENDED in self.everything()

    def close(self) -> None:
        """End the program and the terminal."""
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)

    def _tmux(self, *words: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-u", "-L", self._name, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens terminals, which are closed after the test: ``terminal(command, width=, height=)``."""
    if shutil.which("tmux") is None:
        missing("no tmux on this machine: apt-get install tmux")
    opened: list[Terminal] = []

    def start(command: str, *, width: int, height: int) -> Terminal:
        opened.append(Terminal(tmp_path, command, width=width, height=height))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
