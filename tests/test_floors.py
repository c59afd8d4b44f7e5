"""The floors of the house: each package imports from the floors below it, and never upwards.

``docs/architecture.md`` says what stands on each floor.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    "mnist_core": (
        "errors optim losses version files parsing console table changes config",
        "data models evaluation",
        "device",
        "batches",
        "tasks",
        "trainer",
        "train",
        "checkpoints finders",
        "runs prediction",
        "presets comparison",
        "commands",
        "__main__",
    ),
    "studies": (
        "core spec",
        "catalog storage",
        "planning",
        "search",
        "engines ledger analysis",
        "protocol report tracking",
        "dashboard cli",
        "run __main__ __init__",
    ),
}
"""For each package its folders and root files, the lowest floor first.

Two places on one floor know nothing of each other, except on the lowest one.
"""


def place(module: str) -> str:
    """Return the folder or root file of its package that ``module`` is in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the file of every module of the packages, by dotted name."""
    found = {}
    for package in FLOORS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that ``path`` imports, inside functions and for type checks as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known:
                    yield name
                elif node.module in known:
                    yield node.module


def floor_of(package: str) -> dict[str, int]:
    """Return the floor of each place of ``package``, counted from 1."""
    return {
        name: number
        for number, names in enumerate(FLOORS[package], start=1)
        for name in names.split()
    }


def upwards(graph: dict[str, set[str]]) -> list[str]:
    """Return a line for each import that leads to a higher floor, or sideways on one."""
    wrong = []
    for module, targets in sorted(graph.items()):
        package = module.split(".")[0]
        floors = floor_of(package)
        here = place(module)
        for target in sorted(targets):
            there = place(target)
            if target.split(".")[0] != package or here == there or module == package:
                continue
            above = floors[there] > floors[here]
            beside = floors[there] == floors[here] and floors[here] not in (1, len(FLOORS[package]))
            if above or beside:
                wrong.append(f"{module} imports {target}")
    return wrong


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other in a circle (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph.get(module, ()):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return found


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {module: set(imports(path, known)) - {module} for module, path in known.items()}


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
    assert len(list((ROOT / "mnist_core").glob("*.py"))) <= 12


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


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
