"""A Python file that is read and not run: what it defines, what a name reaches, its hash."""

import ast
import hashlib
import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError
from mnist_core.files import from_here

_HASHED = 16  # hexadecimal digits of a hash


def parse(file: Path, shown: str = "") -> ast.Module:
    """Return the syntax tree of ``file``, which errors call ``shown``.

    Raises:
        ConfigError: if it cannot be read or is not Python.
    """
    shown = shown or str(from_here(file))
    try:
        return ast.parse(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(f"{shown}{line}: {type(error).__name__}: {said}") from None


def defined(tree: ast.Module) -> set[str]:
    """Return the names that a module has after its import: functions, classes, values, imports."""
    found: set[str] = set()
    left: list[ast.AST] = list(tree.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif not isinstance(node, ast.Lambda | ast.expr):
            left += ast.iter_child_nodes(node)
        elif isinstance(node, ast.Tuple | ast.List):
            left += node.elts  # a, *b = 1, 2
        elif isinstance(node, ast.Starred):
            left.append(node.value)
    return found


def missing_import(tree: ast.Module, folder: Path) -> str:
    """Return ``line N: module``, the first import that would fail in ``folder``; "": none is known.

    Only packages are looked for, and none is imported.
    """
    places = [str(folder), *sys.path]
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            names = [statement.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            there = top in sys.modules or top in sys.builtin_module_names
            if not there and importlib.machinery.PathFinder.find_spec(top, places) is None:
                return f"line {statement.lineno}: the module {name} cannot be found"
    return ""


def reached(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Return the statements of a file that ``name`` reaches, in their order."""
    binds = {statement: set(_bound(statement)) for statement in tree.body}
    kept = {s for s in tree.body if not binds[s] and not is_idle(s)}
    wanted = {name, *(used for statement in kept for used in _used(statement))}
    while more := [s for s in tree.body if s not in kept and binds[s] & wanted]:
        kept.update(more)
        wanted.update(used for statement in more for used in _used(statement))
    return [statement for statement in tree.body if statement in kept]


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that ``statement`` gives a value; of a compound statement none."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((one.asname or one.name).partition(".")[0] for one in statement.names)
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from _used(target)


def _used(node: ast.AST) -> Iterator[str]:
    yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name))


def is_idle(statement: ast.stmt) -> bool:
    """Return whether it does nothing in an import: a docstring, or the main program."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.If) and "__name__" in set(_used(statement.test))


def hash_of(tree: ast.AST) -> str:
    """Return the hash of a syntax tree, so comments and line breaks do not matter."""
    return hashlib.sha256(repr(_shape(tree)).encode()).hexdigest()[:_HASHED]


def hash_of_bytes(content: bytes) -> str:
    """Return the hash of a file that is not Python."""
    return hashlib.sha256(content).hexdigest()[:_HASHED]


def _shape(node: Any) -> Any:
    """Return a syntax tree as plain values, the same in every version of Python."""
    if isinstance(node, list):
        return [_shape(one) for one in node]
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")
    # Newer versions of Python have more fields, which are empty here.
    kept = [(name, _shape(value)) for name, value in fields if value is not None and value != []]
    return type(node).__name__, kept
