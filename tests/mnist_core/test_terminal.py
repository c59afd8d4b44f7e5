"""Progress bars are drawn on a terminal alone."""

import io
import os
import pty
from pathlib import Path

import pytest
from rich.console import Console

from mnist_core.console.streams import can_redraw
from studies.report.console import make_console

ROOT = Path(__file__).parents[2]


@pytest.fixture
def screen():
    """The file of a real terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        yield file
    os.close(ours)


def test_a_terminal(screen, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert can_redraw(screen)


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("JPY_PARENT_PID", "12")])
def test_a_terminal_that_only_adds_lines(screen, monkeypatch, name, value):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert not can_redraw(screen)
    monkeypatch.setattr("sys.stdout", screen)
    assert not make_console().is_terminal


@pytest.mark.parametrize(
    ("columns", "width"), [("120", 120), ("40", 40), (None, 100), ("", 100), ("0", 100), ("x", 100)]
)
def test_a_pipe_is_as_wide_as_columns_says(monkeypatch, columns, width):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert make_console().width == width


def test_colour_asked_for_is_no_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    assert Console(file=file).is_terminal  # what rich says
    assert not can_redraw(file) and not can_redraw(None)


def test_bars_ask_no_one_else():
    """Rich's own answer is true for FORCE_COLOR."""
    for package in ("mnist_core", "studies"):
        for file in (ROOT / package).rglob("*.py"):
            source = file.read_text()
            assert "disable=not console.is_terminal" not in source, file
            bars = "from rich.progress import" in source
            assert not bars or "can_redraw(" in source, file
