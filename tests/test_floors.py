"""The floors of the house: each package imports from the floors below it, and never upwards.

``docs/architecture.md`` says what stands on each floor.
"""

from pathlib import Path

import pytest
from floors import DRAWING, FLOORS, ROOT, circles, draw, floor_of, graph_of, modules, place, upwards


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return graph_of()


def test_every_place_has_its_floor() -> None:
    there = {(module.split(".")[0], place(module)) for module in modules()}
    named = {(package, name) for package in FLOORS for name in floor_of(package)}
    there -= {("mnist_core", "__init__")}
    assert there == named


def test_no_import_leads_upwards(graph: dict[str, set[str]]) -> None:
    assert upwards(graph) == []


def test_no_files_import_each_other_in_a_circle(graph: dict[str, set[str]]) -> None:
    assert circles(graph) == []


def test_the_house_stays_small() -> None:
    assert len(FLOORS["studies"]) <= 8
    folders = [path for path in (ROOT / "studies").iterdir() if (path / "__init__.py").exists()]
    assert len(folders) <= 14
    assert len(list((ROOT / "mnist_core").glob("*.py"))) <= 13


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("studies.core.goals", "studies.planning.plan"),
        ("studies.engines.local", "studies.ledger.opening"),
        ("mnist_core.data.idx", "mnist_core.train"),
        ("studies.report.table", "studies.tracking.recording"),
    ],
)
def test_an_import_upwards_is_seen(module: str, target: str) -> None:
    assert upwards({module: {target}}) == [f"{module} imports {target}"]


@pytest.mark.parametrize(
    "text",
    [
        "from studies.b.two import thing",
        "from studies.b import two",
        "import studies.b.two as other",
        "from ..b import two",
        "from ..b.two import thing",
        "def f():\n    from studies.b import two",
        "if TYPE_CHECKING:\n    from studies.b.two import Two",
        "importlib.import_module('studies.b.two')",
    ],
)
def test_an_import_is_seen_however_it_is_written(tmp_path: Path, text: str) -> None:
    for name in ("a/__init__", "a/one", "b/__init__", "b/two"):
        file = tmp_path / f"studies/{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if name == "a/one" else "")
    assert graph_of(tmp_path)["studies.a.one"] == {"studies.b.two"}


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_the_drawing_is_current(graph: dict[str, set[str]]) -> None:
    assert DRAWING.read_text(encoding="utf-8") == draw(graph), "run python tests/floors.py"
