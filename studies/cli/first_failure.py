"""The traceback of a study's first failed trial, said while the study runs."""

from collections.abc import Callable

from studies.core.events import Event

_NAMED = ("objectives.base.TrainingError: ",)
"""How the last line begins where the objective itself named the reason: no mistake to look for."""


class FirstTraceback:
    """A listener that says the traceback of the first trial that fails by an exception.

    A loss that is no number any more, or memory that ran out, has a name instead.

    Args:
        say: gets the lines.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said = False

    def __call__(self, event: Event) -> None:
        """Take in ``event``."""
        traceback = str(event.data.get("traceback") or "")
        if self._said or event.kind != "failed" or not is_mistake(traceback):
            return
        self._said = True
        self._say(
            f"trial {event.trial} failed, the first one to do so; its traceback:\n{traceback}"
        )


def is_mistake(traceback: str) -> bool:
    """Whether a trial failed by an exception, and not for a reason that the objective named."""
    last = traceback.rstrip().rpartition("\n")[2]
    return bool(last) and not last.startswith(_NAMED)
