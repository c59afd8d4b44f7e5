"""The floors of the house, read from the imports; drawn by ``python tests/floors.py``.

The drawing goes to ``docs/architecture.svg``; ``test_floors.py`` checks it and the imports.
"""

import ast
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent

FLOORS = {
    "mnist_core": (
        "errors images optim losses version files parsing console table changes config plugins web"
        " kernels",
        "data models evaluation",
        "device tracking",
        "batches",
        "tasks",
        "trainer",
        "train",
        "checkpoints finders stacked",
        "runs prediction",
        "presets comparison",
        "commands",
        "demo",
        "__main__",
    ),
    "studies": (
        "core statistics spec",
        "catalog storage",
        "planning",
        "search",
        "engines ledger analysis",
        "protocol report tracking",
        "dashboard cli",
        "run python_api __main__ __init__",
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


def imports(path: Path, known: dict[str, Path], root: Path = ROOT) -> Iterator[str]:
    """Yield the modules that ``path`` imports, inside functions and for type checks as well."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{source}.{alias.name}"
                if name in known:
                    yield name
                elif source in known:
                    yield source
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("import_module", "__import__") and node.args[0].value in known:
                yield node.args[0].value


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
            if there not in floors:
                continue  # the package itself, which imports nothing
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


def arrows(graph: Mapping[str, set[str]], package: str) -> dict[str, set[str]]:
    """Return which places of ``package`` import which, without those that follow from others."""
    direct: dict[str, set[str]] = {name: set() for name in floor_of(package)}
    for module, targets in graph.items():
        if module.startswith(f"{package}."):
            near = {place(target) for target in targets if target.startswith(f"{package}.")}
            direct[place(module)] |= near - {place(module)}

    def reach(names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for name in names:
            found |= {name} | reach(direct[name])
        return found

    for name, floor in floor_of(package).items():
        if floor == 1:  # the places there may use each other freely
            direct[name] = set()
    return {
        name: {one for one in targets if one not in reach(targets - {one})}
        for name, targets in direct.items()
    }


WIDTH, ROW, BOX, GAP = 1260, 74, 34, 16
"""Pixels of the drawing: its width, a floor's height, a box's height, between two boxes."""
LEFT, RIGHT = 90, 640
"""Pixels: between these the boxes stand, and right of them what each place is."""
STYLE = """
svg { background: #fff; color: #1c2733; font: 13px system-ui, sans-serif }
.band { fill: #f3f6f9 } .box { fill: #fff; stroke: #4a6785 } .arrow { stroke: #6b8096; fill: none }
text { fill: currentColor } .small { font-size: 11.5px; fill: #5a6b7c } .head { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  svg { background: #12181f; color: #dbe4ec } .band { fill: #1a232d } .small { fill: #9fb0c0 }
  .box { fill: #212c38; stroke: #7f9dbb } .arrow { stroke: #6f859b }
}"""


def about(package: str, name: str) -> str:
    """Return the first line of the docstring of a folder, or "" for a root file."""
    path = ROOT / package / name / "__init__.py"
    if not path.exists():
        return ""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].replace("``", "")


def in_rows(widths: Mapping[str, float]) -> list[list[str]]:
    """Return the names in as many rows as their boxes need between ``LEFT`` and ``RIGHT``."""
    rows: list[list[str]] = [[]]
    for name in widths:
        wide = sum(widths[one] + GAP for one in rows[-1]) + widths[name]
        if rows[-1] and wide > RIGHT - LEFT:
            rows.append([])
        rows[-1].append(name)
    return rows


def draw(graph: Mapping[str, set[str]]) -> str:
    """Return the drawing as SVG: floors as bands, places as boxes, imports as lines downwards."""
    parts: list[str] = []
    top = 10
    for package, floors in reversed(FLOORS.items()):
        parts.append(f'<text class="head" x="10" y="{top + 14}">{package}/</text>')
        top += 26
        boxes: dict[str, tuple[float, float, float]] = {}
        shapes, lines = [], []
        for number, names in reversed(list(enumerate(floors, start=1))):
            labels = {n: f"{n}/" if (ROOT / package / n).is_dir() else n for n in names.split()}
            widths = {n: 24 + 7.2 * len(label) for n, label in labels.items()}
            rows = in_rows(widths)
            high = len(rows) * (BOX + 8) + 8
            parts.append(
                f'<rect class="band" x="8" y="{top}" width="{WIDTH - 16}" height="{high}"'
                f' rx="6"/><text class="small" x="18" y="{top + 30}">floor {number}</text>'
            )
            texts = [
                ("" if place else label, piece)
                for n, label in labels.items()
                for place, piece in enumerate(textwrap.wrap(about(package, n), 92))
            ]
            for line, (label, text) in enumerate(texts):
                y = top + high / 2 + 5 + (line - (len(texts) - 1) / 2) * 15
                parts.append(
                    f'<text class="small" x="{RIGHT + 24}" y="{y:.0f}"><tspan class="head">'
                    f"{label}</tspan> {escape(text)}</text>"
                )
            for row, of in enumerate(rows):
                y = top + 8 + row * (BOX + 8)
                wide = sum(widths[name] for name in of) + GAP * (len(of) - 1)
                left = (LEFT + RIGHT - wide) / 2
                for name in of:
                    width = widths[name]
                    boxes[name] = (left, y, width)
                    shapes.append(
                        f'<rect class="box" x="{left:.0f}" y="{y}" width="{width:.0f}"'
                        f' height="{BOX}" rx="5"/><text x="{left + width / 2:.0f}" y="{y + 22}"'
                        f' text-anchor="middle">{labels[name]}</text>'
                    )
                    left += width + GAP
            top += high - BOX - 16
            top += ROW
        ground = {n for n, floor in floor_of(package).items() if floor == 1}
        hidden = ground if len(ground) > 3 else set()  # all floors use these
        for name, targets in sorted(arrows(graph, package).items()):
            for target in sorted(targets - hidden):
                (x, y, w), (u, v, z) = boxes[name], boxes[target]
                start, end, half = x + w / 2, u + z / 2, (v - y - BOX) / 2
                lines.append(
                    f'<path class="arrow" d="M{start:.0f} {y + BOX:.0f}C{start:.0f}'
                    f' {y + BOX + half:.0f} {end:.0f} {v - half:.0f} {end:.0f} {v:.0f}"/>'
                )
        parts += [*lines, *shapes]
        top += 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def graph_of(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the modules that each module of the packages imports."""
    known = modules(root)
    return {module: set(imports(path, known, root)) - {module} for module, path in known.items()}


DRAWING = ROOT / "docs/architecture.svg"

if __name__ == "__main__":
    DRAWING.write_text(draw(graph_of()), encoding="utf-8")
    print(DRAWING)
