"""The objective of a study that a program defines, found in the program's file for a reproduction.

The file is imported under its own name, so what stands below ``if __name__ == "__main__"`` does not
run. A person has named the file, see ``--study``: no code is run that only an export names.
"""

import ast
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.files import from_here
from mnist_core.plugins import python_files, syntax
from objectives.own import Command, Own, own
from objectives.own.adapter import OwnConfiguration

_RUN = ("studies.run", "studies.python_api.run")


def defines_study(file: str) -> bool:
    """Return whether commands find a study in ``file``: a ``STUDY`` at its top."""
    return "STUDY" in syntax.defined(syntax.parse(Path(file)))


def check_import(file: str) -> None:
    """Raise ConfigError if the import of ``file`` would run a study."""
    if line := run_at_import(syntax.parse(Path(file))):
        raise ConfigError(
            f"{from_here(Path(file))}, line {line}: runs a study when the file is imported; put the"
            ' call of studies.run below `if __name__ == "__main__":`, and reproduce again'
        )


def objective_in(file: str, wanted: OwnConfiguration) -> Own:
    """Return the objective ``wanted`` of the program in ``file``.

    Raises:
        ConfigError: if it is not there, or the file cannot be imported.
    """
    path = plugins.add_file(file)
    tree, shown = syntax.parse(path), from_here(path)
    command = wanted.given.get("command") if wanted.objective == "command" else None
    if command is not None:
        # The text must stand in the file: an export alone must not say what is run.
        constants = {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant)}
        if command not in constants:
            raise ConfigError(f"{shown}: does not hold the command {command!r}, which was measured")
        return own(Command(str(command)))
    file_name, _, name = wanted.objective.partition(":")
    if file_name != path.name:
        raise ConfigError(f"{shown}: the objective was {wanted.objective}; name that file")
    if name not in syntax.defined(tree):
        raise ConfigError(f"{shown}: holds no {name} any more, which was measured")
    python_files.check_module_name(path)
    found = getattr(python_files.load(path), name)
    return own(found(**wanted.given) if wanted.given else found)


def run_at_import(tree: ast.Module) -> int:
    """Return the line of the first call of ``studies.run`` that an import would make; 0: none."""
    names = _imported(tree)
    left = [one for one in tree.body if not syntax.is_idle(one)]
    lines = []
    while left:
        node: ast.AST = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and _full_name(node.func, names) in _RUN:
            lines.append(node.lineno)
        left += ast.iter_child_nodes(node)  # type: ignore[arg-type]
    return min(lines, default=0)


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return what the names that a file imports stand for, dotted."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.asname: one.name for one in node.names if one.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return names


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Return the dotted name that ``node`` is, e.g. ``studies.run``; "": it is not a name."""
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""
