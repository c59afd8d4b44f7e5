"""Every notebook runs from top to bottom, in a kernel of its own."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from waiting import PATIENCE

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_is_one():
    assert NOTEBOOKS


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    book = nbformat.read(path, as_version=4)
    # The same commands on a smaller study.
    told = 'SETTINGS = ["--quick"'
    assert sum(told in cell.source for cell in book.cells) == 1
    for cell in book.cells:
        small = ', "--set", "search.trials=3", "--set", "confirm.seeds=2"'
        cell.source = cell.source.replace(told, told + small)
    client = NotebookClient(
        book,
        timeout=PATIENCE,
        startup_timeout=PATIENCE,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute()
    outputs = [one for cell in book.cells for one in cell.get("outputs", [])]
    text = "".join(one.get("text", "") for one in outputs)
    assert "reproduced: confirm_accuracy" in text and "exactly as recorded" in text
    assert any("image/png" in one.get("data", {}) for one in outputs)
    assert (tmp_path / "results" / "optim_search-quick" / "report.html").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_kept_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
