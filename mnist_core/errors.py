"""Errors that a user can mend, each one line: what is wrong, where, what came, what to do.

The command lines print such an error's message and exit with a code other than 0; anything else
that is raised is a defect of this program and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Base of all errors that the user can mend. The message is one line."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong type or out of range."""


class DeviceMissing(ConfigError):
    """The device that is asked for is not there, or not any more."""


class DataError(UserError):
    """A data set is unknown, missing or damaged."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or of another model."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """One line that says ``name`` is no ``kind``, with the nearest valid name and all of them."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (valid: {', '.join(names)})"
