"""A user's file called as a module is named in one line; the installed programs do not mind it."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mnist_core.console import shadowed

ROOT = Path(__file__).parents[2]


def started(folder, *words):
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("studies", "json.py"),
        ("studies", "typing.py"),
        ("studies.run", "torch.py"),
        ("studies.run", "random/__init__.py"),
        ("mnist_core", "enum.py"),
    ],
)
def test_a_file_that_hides_a_module_is_one_line(tmp_path, module, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("raise RuntimeError('a file of mine was imported')")
    done = started(tmp_path, "-m", module, "--help")
    (line,) = done.stderr.splitlines()
    name = file.partition("/")[0]
    assert done.returncode == 1 and done.stdout == ""
    assert line.startswith(f"error: {name} ") and "rename" in line


@pytest.mark.slow
@pytest.mark.parametrize("program", ["studies", "mnist_core"])
def test_the_installed_program_does_not_mind_it(tmp_path, program):
    (tmp_path / "bin").mkdir()
    (tmp_path / "json.py").write_text("raise RuntimeError('a file of mine was imported')")
    script = tmp_path / "bin" / program.replace("_", "-")
    script.write_text(f"from {program}.__main__ import main\nmain()\n")
    done = started(tmp_path, str(script), "--version")
    assert (done.returncode, done.stderr) == (0, "")


def test_only_modules_that_are_needed_count(tmp_path):
    for name in ("test.py", "my_json.py", "json.txt", "utils.py", "time.py"):
        (tmp_path / name).touch()
    for name in ("numpy", "tests", "re.py"):
        (tmp_path / name).mkdir()
    names = [each.name for each in tmp_path.iterdir()]
    assert shadowed.shadowing(str(tmp_path), names) is None
    (tmp_path / "numpy" / "__init__.py").touch()
    assert shadowed.shadowing(str(tmp_path), names) == "numpy"


def test_all_packages_that_this_one_needs_count():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[^\w-]", one)[0].lower() for one in about["dependencies"]}
    modules = importlib.metadata.packages_distributions()
    found = {one.lower() for name in shadowed.NEEDED for one in modules[name]}
    assert {name.replace("_", "-") for name in found} == wanted
