"""What a check of ``studies doctor`` found: one line, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from mnist_core.console.plain_text import one_line
from studies.core.redaction import masked


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line.

    Attributes:
        subject: a word: what was looked at.
        text: what was found.
        remedy: what to do; "" if there is nothing to do.
        stops: whether no study can run before it is mended.
    """

    subject: str
    state: State
    text: str
    remedy: str = ""
    stops: bool = False

    def __str__(self) -> str:
        """Return the line after the state and the subject."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


def ok(subject: str, text: str) -> Finding:
    """Return the finding that all is well."""
    return _made(subject, State.OK, text, "", stops=False)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Return the finding of something that a user should know, and that works as it is."""
    return _made(subject, State.NOTE, text, remedy, stops=False)


def problem(subject: str, text: str, remedy: str, *, stops: bool = False) -> Finding:
    """Return the finding of something that does not work."""
    return _made(subject, State.PROBLEM, text, remedy, stops=stops)


def _made(subject: str, state: State, text: str, remedy: str, *, stops: bool) -> Finding:
    # Errors of other programs hold line ends, and perhaps an address with its password.
    shown = masked(one_line(text)).rstrip(" .;")
    return Finding(subject=subject, state=state, text=shown, remedy=masked(remedy), stops=stops)
