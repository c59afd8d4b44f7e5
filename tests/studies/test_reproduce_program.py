"""``reproduce`` of a study that a program defines: its objective is found in the program's file."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401

from mnist_core.errors import ConfigError
from objectives.own.adapter import OwnConfiguration
from studies.cli import reproduce_script

ROOT = Path(__file__).parents[2]
PROGRAM = """
import studies
from search_spaces.space import Float, Space
from studies.spec import StudySpec

HEIGHT = 1.0


def objective(params, *, seed):
    return {"score": HEIGHT - (params["x"] - 0.3) ** 2 + seed % 7 / 1000}


if __name__ == "__main__":
    spec = StudySpec(
        name="peak", goal="Where?", space=Space({"x": Float(0.0, 1.0)}), objective=objective,
        metric="score", trials=4, confirm_seeds=3,
    )
    studies.run(spec, set={"engine.name": "inline", "tracking.trackers": []})
"""
FILE = "results/peak/best_config.toml"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder with a program that has run its study, and what it printed."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "my_program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "my_program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def inside(ran, monkeypatch):
    monkeypatch.chdir(ran[0])
    monkeypatch.setenv("STUDIES_PROJECT", "")
    Path("my_program.py").write_text(PROGRAM)
    return ran[1]


@pytest.mark.slow
def test_it_is_reproduced_with_its_file(inside, here):  # noqa: F811
    record = tomllib.loads(Path(FILE).read_text())["record"]
    assert record["program"] == "my_program.py"
    assert f"reproduce {FILE} --study ./my_program.py" in inside
    done = here("studies", "reproduce", FILE)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert f"reproduce {FILE} --study ./my_program.py" in done.stderr
    done = here("studies", "reproduce", FILE, "--study", "./my_program.py")
    assert done.returncode == 0 and "exactly" in done.stdout, done.stderr
    exported = here("studies", "export", "results/peak", "--out", "again.toml")
    assert exported.returncode == 0, exported.stderr
    assert tomllib.loads(Path("again.toml").read_text())["record"]["program"] == "my_program.py"


@pytest.mark.slow
def test_changed_code_is_named(inside, here):  # noqa: F811
    Path("my_program.py").write_text(PROGRAM.replace("HEIGHT = 1.0", "HEIGHT = 2.0"))
    done = here("studies", "reproduce", FILE, "--study", "./my_program.py")
    assert done.returncode == 1 and "code of my_program.py" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("def objective", "def another", "objective"),
        ('if __name__ == "__main__":', "if True:", "line 18"),
        ("import studies\n", "import studies\nSTUDY = 1\nstudies.run('x')\n", "line 4"),
    ],
)
def test_what_keeps_it_from_being_run_is_one_line(inside, here, old, new, named):  # noqa: F811
    Path("my_program.py").write_text(PROGRAM.replace(old, new))
    done = here("studies", "reproduce", FILE, "--study", "./my_program.py")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert named in done.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import studies\nstudies.run('a')", 2),
        ("import studies as s\nfound = s.run('a').verdict", 2),
        ("from studies import run as go\nfor n in 'ab':\n    go(n)", 3),
        ("from studies.python_api import run\nclass A:\n    a = run('a')", 3),
        ("import studies\ndef main():\n    studies.run('a')", 0),
        ("import studies\nif __name__ == '__main__':\n    studies.run('a')", 0),
        ("import subprocess\nsubprocess.run(['ls'])\nrun = print\nrun(1)", 0),
    ],
)
def test_a_run_at_the_import_is_seen(text, line):
    assert reproduce_script.run_at_import(ast.parse(text)) == line


def test_a_command_must_stand_in_the_named_file(tmp_path):
    wanted = OwnConfiguration("command", {}, 0, {"command": "train --x {x}"})
    file = tmp_path / "run_it.py"
    file.write_text("COMMAND = 'train --x {x}'\n")
    found = reproduce_script.objective_in(str(file), wanted)
    assert found.place is not None and found.given == wanted.given
    file.write_text("COMMAND = 'train'\n")
    with pytest.raises(ConfigError, match="command"):
        reproduce_script.objective_in(str(file), wanted)
