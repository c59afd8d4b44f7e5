"""The live view and the final table on a real terminal, which is resized meanwhile."""

import os
import shlex
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from terminals import terminal  # noqa: F401
from waiting import until

HERE = Path(__file__).parent
SIZES = ((80, 24), (200, 50), (60, 20), (120, 40), (80, 15))


def program(*words):
    """Return the command line of a Python program that finds the packages and the tests."""
    path = os.pathsep.join(map(str, (HERE.parent.parent, HERE.parent, HERE)))
    return shlex.join(["env", f"PYTHONPATH={path}", sys.executable, *map(str, words)])


def is_whole(lines, width, height):
    """Whether the screen has one panel of its width, and nothing else."""
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 5 or len(lines) > height or {cell_len(line) for line in lines} != {width}:
        return False
    edges = [line[0] + line[-1] for line in lines]
    return edges == ["╭╮", *["││"] * (len(lines) - 2), "╰╯"]


def test_a_resize_leaves_nothing_torn(terminal, tmp_path):  # noqa: F811
    end = tmp_path / "end"
    screen = terminal(program(HERE / "live_program.py", end), width=120, height=40)

    def whole(width, height):
        return is_whole(screen.screen(), width, height)

    until(lambda: whole(120, 40), alive=lambda: not screen.ended)
    until(lambda: "printed meanwhile" in "".join(screen.screen()))
    for width, height in SIZES:
        screen.resize(width, height)
        until(lambda: whole(width, height), alive=lambda: not screen.ended)  # noqa: B023
        text = "".join(screen.screen())
        assert "91.80 %" in text and "NonFiniteLoss" in text and "Search 9/20" in text
    end.touch()
    until(lambda: screen.ended)
    left = [line for line in screen.everything() if line.strip()]
    said = ["before the view", "printed meanwhile", "an error meanwhile", "after the view"]
    assert left == [*said, "(ended)"]


def test_ctrl_z_gives_the_terminal_back(terminal, tmp_path):  # noqa: F811
    end = tmp_path / "end"
    screen = terminal("bash --norc", width=80, height=24)
    screen.type(program(HERE / "live_program.py", end))
    until(lambda: is_whole(screen.screen(), 80, 24))
    screen.press("C-z")
    until(lambda: "Stopped" in "".join(screen.screen()))
    assert "╭" not in "".join(screen.screen())
    screen.type("fg")
    until(lambda: is_whole(screen.screen(), 80, 24))
    end.touch()
    until(lambda: "after the view" in screen.screen())


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_only_adds_lines_has_no_panel(terminal, tmp_path, term):  # noqa: F811
    code = "from studies.report.console import make_console; print(make_console().is_terminal)"
    screen = terminal(f"env TERM={term} " + program("-c", code), width=80, height=24)
    until(lambda: screen.ended)
    assert screen.everything()[0] == "False"


STUDY = """
import time

from search_spaces.space import Choice, Float, Space
from studies.spec import StudySpec


def objective(params, *, report, seed):
    for step in (1, 2, 3):
        time.sleep(0.1)
        report(step, step / 10)
    if params["x"] > 0.9:
        raise ValueError(f"x is {params['x']}, which is too large")
    return {"score": 1000 - (params["x"] - 0.3) ** 2 + seed % 100 / 1e4}


STUDY = StudySpec(
    name="slow_peak",
    goal="Which kind is higher?",
    space=Space({"kind": Choice(("flat", "steep")), "x": Float(0.0, 1.0)}),
    scientific="kind",
    default={"kind": "flat", "x": 0.95},
    objective=objective,
    metric="score",
    trials=12,
)
"""


@pytest.mark.long
def test_a_whole_study(terminal, tmp_path):  # noqa: F811
    (tmp_path / "slow_peak.py").write_text(STUDY)
    (tmp_path / "conf.toml").write_text('[project]\npath = ["."]\n')
    run = program("-m", "studies.run", "slow_peak", "--set", "engine.workers=2", "--track", "none")
    screen = terminal(f"cd {shlex.quote(str(tmp_path))} && {run}", width=120, height=40)
    seen = set()

    def look(*words):
        text = screen.screen()
        size = max(map(cell_len, text), default=0), 40
        if is_whole(text, *size):
            seen.add("panel")
        return all(word in "\n".join(text) for word in words)

    until(lambda: look("Search", "ValueError", "steep"), alive=lambda: not screen.ended)
    screen.resize(80, 24)
    until(lambda: is_whole(screen.screen(), 80, 24), alive=lambda: not screen.ended)
    until(lambda: look("Confirm", "lowest to highest"), alive=lambda: not screen.ended)
    screen.resize(60, 30)
    until(lambda: is_whole(screen.screen(), 60, 30), alive=lambda: not screen.ended)
    until(lambda: screen.ended)
    left = screen.everything()
    assert not any(letter in "".join(left) for letter in "╭╰│")
    assert any(line.startswith("best configuration:") for line in left)
