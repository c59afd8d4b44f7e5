"""Every notebook runs from top to bottom, in a kernel of its own."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from waiting import PATIENCE

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_each_has_a_test():
    assert {path.name for path in NOTEBOOKS} == {"study.ipynb", "training.ipynb"}


def run(name, tmp_path, monkeypatch, replaced=()):
    """Run the notebook ``name``; return its text and the kinds of its pictures and tables."""
    monkeypatch.setenv("NOTEBOOK_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    book = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    for told, small in replaced:
        assert sum(told in cell.source for cell in book.cells) == 1
        for cell in book.cells:
            cell.source = cell.source.replace(told, small)
    client = NotebookClient(
        book,
        timeout=PATIENCE,
        startup_timeout=PATIENCE,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute()
    outputs = [one for cell in book.cells for one in cell.get("outputs", [])]
    junk = [one["text"] for one in outputs if one.get("name") == "stderr"]
    assert junk == []
    kinds = [kind for one in outputs for kind in one.get("data", {})]
    return "".join(one.get("text", "") for one in outputs), kinds


@pytest.mark.long
def test_the_study_runs(tmp_path, monkeypatch):
    # The same commands on a smaller study.
    told = 'SETTINGS = ["--quick"'
    small = told + ', "--set", "search.trials=3", "--set", "confirm.seeds=2"'
    text, kinds = run("study.ipynb", tmp_path, monkeypatch, [(told, small)])
    assert "reproduced: confirm_accuracy" in text and "exactly as recorded" in text
    assert "image/png" in kinds
    assert (tmp_path / "results" / "optim_search-quick" / "report.html").is_file()


@pytest.mark.long
def test_the_training_runs(tmp_path, monkeypatch):
    text, kinds = run("training.ipynb", tmp_path, monkeypatch, [('"cnn"', '"lenet5"')])
    assert "epoch 3: accuracy" in text and "macro-F1" in text
    assert kinds.count("image/png") == 4
    assert (tmp_path / "results" / "model.safetensors").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_kept_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_its_page_is_current_and_has_no_junk(path):
    """``docs/make_notebooks.py`` runs the notebook; the page has each cell, and what it printed."""
    page = (ROOT / "docs/notebooks" / f"{path.stem}.md").read_text()
    place = 0
    for cell in nbformat.read(path, as_version=4).cells:
        place = page.find(cell.source, place)
        assert place >= 0, f"run `python docs/make_notebooks.py {path.stem}`: {cell.source}"
        place += len(cell.source)
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert pictures and all((ROOT / "docs/notebooks" / one).is_file() for one in pictures)
    outputs = "\n".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))
    junk = r"Warning|Traceback|\x1b|\r|it/s|%\||/tmp|/root|/home|/work|wandb|0x[0-9a-f]{6}|<Figure"
    assert outputs and re.findall(junk, outputs) == []
