"""Objectives of the user's own that a study names: ``objective`` in a file of the project."""

from typing import Any

from mnist_core import plugins
from mnist_core.plugins import python_files

NAME = "objective"


def named(name: str) -> Any:
    """Return ``objective`` in the user's own module ``name``; None: there is none.

    Raises:
        ConfigError: if two places have the name, or the file cannot be imported.
    """
    known = {one.name for one in plugins.plugins("objectives")}
    found = plugins.find("objectives", name) if plugins.is_file(name) or name in known else None
    if found is None:
        return None
    # A file with a class of its own name takes the trainer's settings; it is not imported here.
    if found.file is not None and NAME not in python_files.defined(python_files.parse(found.file)):
        return None
    return getattr(found.load(), NAME, None)
