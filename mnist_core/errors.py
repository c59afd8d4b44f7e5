"""Errors that a user can mend, each one line: what is wrong, where, what came, what to do."""

import difflib
import signal
from collections.abc import Iterable


class UserError(Exception):
    """Base of all errors that the user can mend. The message is one line."""

    # The command lines print it and exit with a code other than 0. Any other exception is a defect
    # of this program and keeps its traceback.


class ConfigError(UserError):
    """A setting is unknown, of the wrong type or out of range."""


class DeviceMissing(ConfigError):
    """The device that is asked for is not there, or not any more."""


class DataError(UserError):
    """A data set is unknown, missing or damaged."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or of another model."""


def nearest_name(name: str, names: Iterable[str], *, likeness: float = 0.5) -> str | None:
    """Return the one of ``names`` that is spelled most like ``name``, if any.

    ``likeness`` is the smallest ratio of difflib (0: nothing in common, 1: equal) that counts.
    """
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=likeness)), None)


def unknown_name(kind: str, name: str, valid: Iterable[str], *, hint: str = "") -> str:
    """Return one line: ``name`` is not a ``kind``, the nearest valid name and all of them.

    ``hint`` begins with ``; `` and stands before the list, which may be long.
    """
    names = sorted(valid)
    near = nearest_name(name, names)
    meant = f"; did you mean {near!r}?" if near else ""
    return f"unknown {kind} {name!r}{meant}{hint} (valid: {', '.join(names)})"


def said(error: BaseException) -> str:
    """Return an exception in one line: its type, and its text if it has one."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class CtrlC(KeyboardInterrupt):
    """The user's Ctrl-C, raised by a signal handler of this program."""


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether ``error`` is the user's Ctrl-C, not a KeyboardInterrupt that code raised."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    # Under a handler of our own only ``CtrlC`` comes of a key, and workers ignore the signal. Under
    # Python's handler the two cannot be told apart; then the key is the likelier one.
    return isinstance(error, CtrlC) or signal.getsignal(signal.SIGINT) is signal.default_int_handler
