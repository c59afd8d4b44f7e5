"""The code of an objective of the user's own: a hash of each file, part of the fingerprint.

A study's file often holds its objective. So its goal and its budget may change without another
fingerprint: only the statements count whose names the objective uses, and those that theirs use.
A module of the project that is imported counts as a whole.
"""

import ast
import inspect
import textwrap
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.plugins import python_files, syntax
from objectives.own.command import Command
from objectives.own.description import Own
from objectives.own.reference import Held, load

_LARGEST = 1 << 20
"""Bytes of a file named in a command that may be code; a larger one is data."""


def of_objective(own: Own) -> dict[str, str]:
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
        return {place.label: syntax.hash_of(ast.parse(_source(load(place), place.label)))}
    file = plugins.here(Path(place.file))
    whole = syntax.parse(file)
    statements = syntax.reached(whole, place.name)
    found = {file.name: syntax.hash_of(ast.Module(body=statements, type_ignores=[]))}
    roots = [file.parent, *plugins.folders()]
    beside = python_files.sources(file, roots)
    found |= {
        name: syntax.hash_of(syntax.parse(path)) for name, path in beside.items() if path != file
    }
    return dict(sorted(found.items()))


def code_facts(own: Own) -> dict[str, str]:
    """Return the hashes of the objective's code as facts of a record, by name."""
    return {f"code of {name}": found for name, found in of_objective(own).items()}


def _of_command(command: Command) -> dict[str, str]:
    """Return the hashes of the files that the words of ``command`` name."""
    found = {}
    for word in command.words:
        path = Path(word)
        if "{" in word or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        python = path.suffix == ".py"
        found[path.name] = (
            syntax.hash_of(syntax.parse(path))
            if python
            else syntax.hash_of_bytes(path.read_bytes())
        )
    return dict(sorted(found.items()))


def _source(found: object, label: str) -> str:
    try:
        return textwrap.dedent(inspect.getsource(found if callable(found) else type(found)))
    except (OSError, TypeError) as error:
        raise ConfigError(
            f"objective {label}: its source cannot be read ({error}); put it into a file"
        ) from None
