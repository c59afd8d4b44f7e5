"""The project's Python files travel to nodes that lack the project's folder."""

import importlib
import sys

import pytest

from mnist_core import plugins
from mnist_core.errors import UserError
from objectives.own import own
from objectives.own.code import of_objective
from objectives.own.reference import load
from studies.engines.ray import shipped

STUDY = "from neighbour import X\ndef objective(params):\n    return {'score': X}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project's folder; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "project"
    for name, text in {
        "mine_shipped.py": STUDY,
        "neighbour.py": "X = 1\n",
        "parts/layers.py": "",
        "results/best.py": "",
        ".venv/lib/x.py": "",
        "env/pyvenv.cfg": "",
        "env/lib/y.py": "",
        "pictures.npz": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setenv(plugins.VARIABLE, str(folder))
    monkeypatch.setenv(f"{plugins.VARIABLE}_COPY_OF", "")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def packed(tmp_path):
    (tmp_path / "there").mkdir()
    return shipped.pack(tmp_path / "there")


def test_the_code_travels_and_nothing_else(project, tmp_path, monkeypatch):
    package = packed(tmp_path)
    files = {str(f.relative_to(package / "0")) for f in (package / "0").rglob("*") if f.is_file()}
    assert files == {"mine_shipped.py", "neighbour.py", "parts/layers.py"}
    monkeypatch.setenv(plugins.VARIABLE, "")
    assert shipped.pack(tmp_path / "other") is None


def test_a_worker_takes_the_copies_even_where_an_older_folder_is(project, tmp_path, monkeypatch):
    module = importlib.import_module("mine_shipped")
    objective = own(module.objective)
    hashes = of_objective(objective)
    for name in ("mine_shipped", "neighbour"):
        del sys.modules[name]
    package = packed(tmp_path)
    (project / "neighbour.py").write_text("X = 2\n")
    (project / "mine_shipped.py").unlink()
    monkeypatch.syspath_prepend(package.parent)
    shipped.use()
    sys.path[:] = [shipped.searched(entry) for entry in sys.path]
    assert plugins.folders() == [package / "0"]
    assert of_objective(objective) == hashes
    assert load(objective.place)({})["score"] == 1
    assert plugins.here(project) == package / "0"
    assert plugins.here(tmp_path) == tmp_path


def test_the_data_files_that_are_named_travel(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    (project / "table.csv").write_text("1,2")
    conf = project / "conf.toml"
    conf.write_text('[project]\npath = ["."]\nfiles = ["*.csv", "parts", "pictures.npz"]\n')
    (project / "mine_shipped.py").write_text(
        "from pathlib import Path\n"
        "TABLE = Path(__file__).parent / 'table.csv'\n"
        "def objective(params):\n    return {'score': len(TABLE.read_text())}\n"
    )
    objective = own(importlib.import_module("mine_shipped").objective)
    del sys.modules["mine_shipped"]
    package = packed(tmp_path)
    files = {str(f.relative_to(package / "0")) for f in (package / "0").rglob("*") if f.is_file()}
    code = {"mine_shipped.py", "neighbour.py", "parts/layers.py"}
    assert files == {*code, "table.csv", "pictures.npz"}
    (project / "table.csv").unlink()
    monkeypatch.syspath_prepend(package.parent)
    shipped.use()
    sys.path[:] = [shipped.searched(entry) for entry in sys.path]
    assert load(objective.place)({})["score"] == 3


@pytest.mark.parametrize(
    "wrong", ['"nowhere.csv"', '"/etc/hostname"', "3", '"../*.py"', '"results/nothing-*"']
)
def test_a_wrong_name_of_a_data_file_is_one_line(project, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(project)
    (tmp_path / "beside.py").touch()
    (project / "conf.toml").write_text(f'[project]\npath = ["."]\nfiles = [{wrong}]\n')
    with pytest.raises(UserError, match=r"project\.files") as error:
        packed(tmp_path)
    assert "\n" not in str(error.value)


def test_too_many_data_files_are_one_line(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    (project / "conf.toml").write_text('[project]\npath = ["."]\nfiles = ["table.csv"]\n')
    (project / "table.csv").write_text("1,2")
    monkeypatch.setattr(shipped, "_MOST_DATA", 2)
    with pytest.raises(UserError, match=r"project\.files"):
        packed(tmp_path)


def test_a_folder_with_too_much_code_is_one_line(project, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "_MOST", 10)
    with pytest.raises(UserError, match=r"\[project\] path") as error:
        packed(tmp_path)
    assert "\n" not in str(error.value)
