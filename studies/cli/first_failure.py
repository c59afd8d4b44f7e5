"""The traceback of a study's first failed trial, printed while the study runs."""

from collections.abc import Callable

from studies.core.events import Event

_NAMED = ("objectives.base.TrainingError: ",)
"""Start of the last line where the objective itself named the reason: it is not a defect."""
_ENDED = frozenset({"SystemExit", "KeyboardInterrupt"})
"""Kinds of failures whose message names the line of code that asked for the end."""


class FirstTraceback:
    """A listener that gives ``say`` the traceback of the first trial that an exception ends."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said = False

    def __call__(self, event: Event) -> None:
        """Handle ``event``."""
        traceback = str(event.data.get("traceback") or "")
        if self._said or event.kind != "failed" or event.data.get("kind") in _ENDED:
            return
        if not is_mistake(traceback):
            return
        self._said = True
        self._say(f"trial {event.trial} is the first that failed; its traceback:\n{traceback}")


def is_mistake(traceback: str) -> bool:
    """Return whether an exception ended the trial, not a reason that the objective named."""
    # A loss that is not finite, or memory that ran out, has a name instead.
    last = traceback.rstrip().rpartition("\n")[2]
    return bool(last) and not last.startswith(_NAMED)
