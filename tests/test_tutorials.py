"""The pages on one's own things, followed as written in an empty folder that is not the checkout.

A block of ``bash`` is run in one shell, block after block. A block of ``python`` is written to the
file that is named in the last line before it, or else run as a script.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import drawn_pictures

ROOT = Path(__file__).parents[1]

BLOCK = re.compile(r"([^\n]*)\n\n```(bash|python)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`([\w/]+\.py)`")


def steps(page):
    """Return the kind, the file's name ("" if none is named) and the text of each block."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = []
    for before, kind, code in BLOCK.findall(text):
        names = FILE.findall(before)
        found.append((kind, names[-1] if names and kind == "python" else "", code))
    return found


class Reader:
    """Someone who does what a page says."""

    def __init__(self, folder):
        self.folder = folder
        programs = folder / "programs"
        programs.mkdir()
        (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (programs / "python").chmod(0o755)
        self.here = folder / "empty"
        self.here.mkdir()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("STUDIES_")}
        self.environment |= {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "MNIST_STUDIES_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "WANDB_MODE": "disabled",
        }

    def __call__(self, command):
        """Run ``command`` as a shell does; a ``cd`` in it holds for what follows."""
        where = self.folder / "where"
        done = subprocess.run(
            ["/bin/sh", "-ec", f'{command}\npwd > "{where}"'],
            cwd=self.here,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}{done.stdout}"
        assert "Traceback" not in done.stderr
        self.here = Path(where.read_text().strip())
        return done.stdout

    def follow(self, page):
        """Do what ``page`` says; return what each block printed."""
        said = []
        for kind, name, code in steps(page):
            if kind == "bash":
                said.append(self(code))
            elif name:
                assert not (self.here / name).exists()
                (self.here / name).parent.mkdir(parents=True, exist_ok=True)
                (self.here / name).write_text(code)
            else:
                (self.here / "typed.py").write_text(code)
                said.append(self("python typed.py"))
        return said


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


def test_every_page_has_something_to_do():
    counted = {page.name: len(steps(page.name)) for page in (ROOT / "docs").glob("*.md")}
    for page in ("tutorials.md", "own_pictures.md", "own_scripts.md", "objectives.md"):
        assert counted[page] >= 1, page
    named = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs/tutorials.md").read_text())
    assert named and all((ROOT / "docs" / name).is_file() for name in named)


@pytest.mark.long
def test_a_folder_of_ones_own(reader):
    said = reader.follow("tutorials.md")
    assert "my_study.py" in said[0] and "Best" in "".join(said)
    results = reader.here / "results"
    names = {folder.name for folder in results.iterdir()}
    assert {"my_study-quick", "my_objective", "tune_mine-quick"} <= names
    assert (results / "my_study-quick/report.html").is_file()
    assert (reader.here / "model.pt2").is_file()


@pytest.mark.long
def test_pictures_of_ones_own(reader):
    drawn_pictures.write(reader.here / "pictures", 200, 24)
    said = reader.follow("own_pictures.md")
    assert said
    report = reader.here / "results/optim_search-quick/report.html"
    assert "apple" in report.read_text(encoding="utf-8")


@pytest.mark.long
def test_scripts_of_ones_own(reader):
    pytest.importorskip("ray")
    said = reader.follow("own_scripts.md")
    assert len(said) >= 3 and all("{" in one for one in said)


@pytest.mark.long
def test_objectives_of_ones_own(reader):
    pytest.importorskip("sklearn")
    reader.follow("objectives.md")
    for study in ("peak", "digits", "script"):
        folder = reader.here / "results" / study
        assert (folder / "report.md").is_file()
        assert "exactly as recorded" in reader(
            f"python -m studies reproduce results/{study}/best_config.toml --study ./{study}.py"
        )
    for study in ("peak", "digits"):
        reader(f"python -m studies replay ./{study}.py")
