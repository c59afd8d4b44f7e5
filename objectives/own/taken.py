"""What a study's ``objective`` and ``command`` become."""

from typing import Any

from mnist_core.errors import ConfigError
from objectives.own.command import Command
from objectives.own.named import named
from objectives.own.own import Own, own
from search_spaces.space import Space

TRAINER = "classification"
"""The objective of a study that names none."""


def taken(objective: Any, command: str, space: Space) -> str | Own:
    """Return the name of a module in ``objectives/``, or what a study knows of another objective.

    Raises:
        ConfigError: if both are given, or the objective cannot be taken.
    """
    if command:
        if objective != TRAINER and not isinstance(objective, Own):
            raise ConfigError("give an objective or a command, not both")
        objective = Command(command)
    if isinstance(objective, str):
        found = None if objective == TRAINER else named(objective)
        if found is None:
            return objective
        objective = found
    made = own(objective)
    if isinstance(made.place, Command):
        made.place.check({name: one.when is None for name, one in space.parameters.items()})
    return made
