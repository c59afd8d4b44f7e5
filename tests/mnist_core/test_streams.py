"""Text of others is shown and not obeyed, and no output ends a program's work."""

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from mnist_core.console.plain_text import is_safe, markdown, one_line, safe_lines
from mnist_core.console.safe_console import SafeConsole
from mnist_core.files import write_atomically

EVIL = "\x1b]0;owned\x07 \x1b[2J \x9b31m \u202eabc \ud800 \r"


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_whatever_comes_is_safe(text):
    line = one_line(text)
    assert is_safe(line) and is_safe(markdown(text)) and line.isprintable() | (not line.isascii())
    line.encode()
    assert set(safe_lines(text)) <= set(text) | set("\\xu0123456789abcdef")
    assert safe_lines(safe_lines(text)) == safe_lines(text)


def test_ours_stays_as_it_is():
    for text in ("98.21 ± 0.12 %, a→b …", "Größe 東京 ▁▂█", "a\tb\nc", "adam (default)"):
        assert safe_lines(text) == text
    assert markdown("a|b <i> [x](y) [-0.3, +0.1] `c`") == ("a\\|b \\<i> [x]\\(y) [-0.3, +0.1] `c`")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_shows_and_does_not_obey(terminal):
    out = io.StringIO()
    console = SafeConsole(
        file=out, width=300, force_terminal=terminal, color_system="truecolor" if terminal else None
    )
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    for what in (EVIL, Text(EVIL, "bold"), table):
        console.print(what, markup=False)
    shown = out.getvalue()
    assert "\\x1b]0;owned" in shown and "\\u202eabc" in shown and "\\ud800" in shown
    for raw in ("\x1b]", "\x1b[2J", "\x9b", "\u202e", "\x07"):
        assert raw not in shown
    assert ("\x1b[1m" in shown) == terminal  # rich's own


def test_a_name_that_is_not_utf_8_can_be_written_into_a_file(tmp_path):
    write_atomically(tmp_path / "f.csv", os.fsdecode(b"\xff.png,7\n"))
    assert (tmp_path / "f.csv").read_text() == "\\udcff.png,7\n"


PROGRAM = """
import os, sys
from mnist_core.console import streams
streams.prepare()
opened = os.open(os.devnull, os.O_RDONLY)
print("\\xb1 \\u2026 \\u6771 \\udcff")
for _ in range(20_000):
    print("a line that nobody reads")
print("done", opened > 2, file=sys.stderr, flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize(
    ("redirection", "variables"),
    [
        ("> out", {}),
        (">&-", {}),
        ("<&- >&-", {}),
        ("> out", {"PYTHONIOENCODING": "ascii"}),
        ("> out", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("| head -1 > out", {}),
    ],
)
def test_the_exit_code_is_that_of_the_work(tmp_path, redirection, variables):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = f'set -o pipefail; "$PYTHON" program.py {redirection}'
    ended = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **variables, "PYTHON": sys.executable, "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (7, "done True\n")
    if "out" in redirection:
        first = (tmp_path / "out").read_text().splitlines()[0]
        assert first in ("± … 東 \\udcff", "+- ... \\u6771 \\udcff")
        assert first.isascii() == ("PYTHONIOENCODING" in variables or "LC_ALL" in variables)


def test_standard_error_that_is_closed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = subprocess.run(
        ["bash", "-c", '"$PYTHON" program.py 2>&- > out'],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
    )
    assert ended.returncode == 7
    assert (tmp_path / "out").read_text().count("\n") == 20_001
