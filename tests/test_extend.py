"""docs/extend.md, followed word by word in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mnist_core", "search_spaces", "objectives", "studies")
BLOCK = r"\n\n```(?:python|text)\n(.*?)```"


def follow(page: str, root: Path) -> list[str]:
    """Do in ``root`` what ``page`` says; return the headings under which something was done."""
    done = []
    for section in page.split("\n## ")[1:]:
        for name, code in re.findall(rf"New file `([^`]+)`[^\n]*:{BLOCK}", section, re.DOTALL):
            assert not (root / name).exists()
            (root / name).write_text(code)
        for name, where, table, code in re.findall(
            rf"In `([^`]+)`, (?:a function|an import|an entry) (before|of) `(\w+)`:{BLOCK}",
            section,
            re.DOTALL,
        ):
            text = (root / name).read_text()
            line = re.search(rf"^{table}\b.*[({{]$", text, re.MULTILINE)
            assert line, f"{name} has no {table}"
            at = line.start() if where == "before" else line.end() + 1
            more = f"{code}\n\n" if where == "before" else code
            (root / name).write_text(text[:at] + more + text[at:])
        for name, code in re.findall(
            rf"In `([^`]+)`, its import [^\n]*:{BLOCK}", section, re.DOTALL
        ):
            text = (root / name).read_text()
            first, last = code.strip().split("\n\n")
            text = text.replace("\nfrom studies.cli", f"\n{first}\nfrom studies.cli", 1)
            assert text.count("\ndef main()") == 1, name
            text = text.replace("\ndef main()", f"\n{last}\n\n\ndef main()")
            (root / name).write_text(text)
        done.append(section.partition("\n")[0])
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("extended") / "project"
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "conf.toml", root)
    done = follow((ROOT / "docs/extend.md").read_text(), root)
    assert len(done) == len(set(done)) >= 12
    return root


def python(project: Path, *words: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.long
def test_one_of_each_in_one_study(project: Path) -> None:
    folder = project / "results"
    said = python(
        project, "-m", "studies.run", "batch_search", "--plain", "--track", "lines",
        "--engine", "gentle", "--trials", "6", "--set", f"results.folder={folder}",
        *(
            word
            for one in (
                "epochs=1", "model.name=wide", "optim.name=adamax", "loss.name=hinge",
                "search.sampler=uniform", "search.pruner=first_quarter", "confirm.seeds=2",
                "search.trials_per_choice=2",
                f"storage.url=notes:///{folder / 'batch_search' / 'study.notes'}",
            )
            for word in ("--set", one)
        ),
    )  # fmt: skip
    assert "Adamax" in said or "adamax" in said or "batch_size" in said
    lines = (folder / "batch_search/lines.txt").read_text().splitlines()
    assert sum(line.startswith("search") for line in lines) == 6
    assert "val_worst_recall" in (folder / "batch_search/events.jsonl").read_text()
    python(project, "-m", "studies", "report", folder / "batch_search")
    assert ">Spread</h" in (folder / "batch_search/report.html").read_text()
    best = python(project, "-m", "studies", "best", folder / "batch_search")
    assert best.strip() not in ("", "none yet")


@pytest.mark.long
@pytest.mark.parametrize("study", ["tune_net", "smoothing_trend"])
def test_studies_without_choices_of_their_own(project: Path, study: str) -> None:
    folder = project / "results"
    said = python(
        project, "-m", "studies.run", study, "--quick", "--plain", "--track", "none",
        "--engine", "inline", "--set", f"results.folder={folder}",
        "--set", "search.trials=10", "--set", "search.pruner=none",
    )  # fmt: skip
    assert (
        "Trend over label_smoothing" in said
        if study == "smoothing_trend"
        else "Against default" in said
    )


@pytest.mark.long
def test_names_are_known_everywhere(project: Path) -> None:
    listed = python(project, "-m", "studies", "list")
    assert all(name in listed for name in ("batch_search", "tune_net", "smoothing_trend"))
    code = (
        "from mnist_core.data import registry; from mnist_core.optim import OPTIMIZERS;"
        "from studies import engines, tracking;"
        "print(registry.by_name('letters').n_classes, 'adamax' in OPTIMIZERS,"
        " 'gentle' in engines.names(), 'lines' in tracking.names())"
    )
    assert python(project, "-c", code).split() == ["26", "True", "True", "True"]
