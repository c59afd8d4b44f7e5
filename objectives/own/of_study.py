"""The objective of a study: a module's name, or what the study knows of a user's own objective."""

from typing import Any

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.plugins import syntax
from objectives.own.command import Command
from objectives.own.description import Own, own
from search_spaces.space import Space

TRAINER = "classification"
"""The objective of a study that names none."""
_NAME = "objective"  # of a function, class or command in a file of the project


def of_study(objective: Any, command: str, space: Space) -> str | Own:
    """Return the name of a module in ``objectives/``, or what a study knows of another objective.

    Raises:
        ConfigError: if both are given, or the objective cannot be taken.
    """
    if command:
        if objective != TRAINER and not isinstance(objective, Own):
            raise ConfigError("give an objective or a command, not both")
        objective = Command(command)
    if isinstance(objective, str):
        found = None if objective == TRAINER else _named(objective)
        if found is None:
            return objective
        objective = found
    made = own(objective)
    if isinstance(made.place, Command):
        made.place.check({name: one.when is None for name, one in space.parameters.items()})
    return made


def _named(name: str) -> Any:
    """Return ``objective`` in the user's own module ``name``; None: there is none.

    Raises:
        ConfigError: if two places have the name, or the file cannot be imported.
    """
    known = {one.name for one in plugins.plugins("objectives")}
    found = plugins.find("objectives", name) if plugins.is_file(name) or name in known else None
    if found is None:
        return None
    # A file with a class of its own name takes the trainer's settings; it is not imported here.
    if found.file is not None and _NAME not in syntax.defined(syntax.parse(found.file)):
        return None
    return getattr(found.load(), _NAME, None)
