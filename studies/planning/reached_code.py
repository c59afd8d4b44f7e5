"""The code of an objective of the user's own: what it reaches by name, and nothing else.

A study's file often holds its objective. So its goal and its budget may change without another
fingerprint: only the statements count whose names the objective uses, and those that theirs use.
A module in the same folder that is imported counts as a whole.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.plugins import python_files
from mnist_core.plugins.python_files import parse
from objectives.own import Command, Own
from objectives.own.reference import Held, load
from studies.planning.syntax import hash_of, hash_of_bytes

_LARGEST = 1 << 20
"""Bytes of a file named in a command that may be code; a larger one is data."""


def hashes_of_own(own: Own) -> dict[str, str]:
    """Return the hash of each file whose code ``own`` is, by its name; {}: the place is unknown.

    Raises:
        ConfigError: if a file is missing or is not Python.
    """
    place = own.place
    if place is None or isinstance(place, Held):
        return {}
    if isinstance(place, Command):
        return _of_command(place)
    if not place.file:
        # A cell of a notebook has no file, but its lines are known.
        return {place.label: hash_of(ast.parse(_source(load(place), place.label)))}
    file = Path(place.file)
    whole = parse(file)
    statements = reached(whole, place.name)
    found = {file.name: hash_of(ast.Module(body=statements, type_ignores=[]))}
    roots = [file.parent, *plugins.folders()]
    beside = python_files.sources(file, roots)
    found |= {name: hash_of(parse(path)) for name, path in beside.items() if path != file}
    return dict(sorted(found.items()))


def code_facts(own: Own) -> dict[str, str]:
    """Return the hashes of the objective's code as facts of a record, by name."""
    return {f"code of {name}": found for name, found in hashes_of_own(own).items()}


def reached(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Return the statements of a file that ``name`` reaches, in their order."""
    binds = {statement: set(_bound(statement)) for statement in tree.body}
    kept = {s for s in tree.body if not binds[s] and not _is_idle(s)}
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
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _used(statement: ast.stmt) -> Iterator[str]:
    yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))


def _is_idle(statement: ast.stmt) -> bool:
    """Whether it does nothing when the file is imported: a docstring, or the main program."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.If) and "__name__" in set(_used_in(statement.test))


def _used_in(expression: ast.expr) -> Iterator[str]:
    yield from (node.id for node in ast.walk(expression) if isinstance(node, ast.Name))


def _of_command(command: Command) -> dict[str, str]:
    """Return the hashes of the files that the words of ``command`` name."""
    found = {}
    for word in command.words:
        path = Path(word)
        if "{" in word or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        python = path.suffix == ".py"
        found[path.name] = hash_of(parse(path)) if python else hash_of_bytes(path.read_bytes())
    return dict(sorted(found.items()))


def _source(found: object, label: str) -> str:
    try:
        return textwrap.dedent(inspect.getsource(found if callable(found) else type(found)))
    except (OSError, TypeError) as error:
        raise ConfigError(
            f"objective {label}: its source cannot be read ({error}); put it into a file"
        ) from None
