"""The terminal's other screen: what is printed meanwhile, and a terminal that goes away."""

import io
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from rich.console import Console
from waiting import until

from studies.report import full_screen
from studies.report.full_screen import FullScreen


class Terminal(io.StringIO):
    """A terminal that goes away when it is told to."""

    gone = False

    def isatty(self):
        return True

    def write(self, text):
        if self.gone:
            raise OSError(5, "Input/output error")
        return super().write(text)


@contextmanager
def screen(out, err=None, *, said=print):
    """Show a view on ``out``, which is standard output; ``err`` is a file."""
    with redirect_stdout(out), redirect_stderr(err or io.StringIO()):
        console = Console(width=40, height=10, force_terminal=True)
        with FullScreen(console, lambda: "the view", seconds=0.01, say=said):
            yield
        assert sys.stdout is out


def test_what_is_printed_meanwhile_comes_afterwards():
    out, err, said = Terminal(), io.StringIO(), []
    with screen(out, err, said=said.append):
        print("one\ntwo")
        print("to a file", file=sys.stderr)
        assert err.getvalue() == "to a file\n"  # at once
        until(lambda: out.getvalue().count("the view") > 2)
        assert "one" not in out.getvalue()
    assert said == ["one", "two"]
    left = out.getvalue().rpartition("\x1b[?1049l")
    assert left[1] and left[2] == "one\ntwo\n"


def test_of_much_output_the_last_is_kept(monkeypatch):
    monkeypatch.setattr(full_screen, "_MOST", 4)
    out = Terminal()
    with screen(out, said=lambda line: None):
        for number in range(5):
            print(number)
    left = out.getvalue().rpartition("\x1b[?1049l")[2]
    assert left.splitlines()[0].startswith("[6 ") and left.endswith("3\n4\n")


def test_a_terminal_that_goes_away_stops_nothing():
    out = Terminal()
    with screen(out, said=lambda line: None):
        until(lambda: "the view" in out.getvalue())
        out.gone = True
        print("what no terminal shows")
