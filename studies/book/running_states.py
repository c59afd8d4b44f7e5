"""States of running trials on disk: what lets a lost trial go on, and their removal in time."""

from collections.abc import Callable, Iterable
from pathlib import Path

from mnist_core.files import remove_drafts
from studies.book.records import TrialRecord
from studies.planning.plan import Plan
from studies.trail.belonging import MODELS
from studies.trail.events import Event

_OVER = ("complete", "pruned", "failed")
_OVER_STATES = ("COMPLETE", "PRUNED", "FAIL")


def states_folder(plan: Plan, phase: str) -> Path:
    """Return where states of the trials of ``phase`` (search, confirm) are kept."""
    return plan.folder / MODELS / "running" / phase


class RunningStates:
    """A listener that removes a trial's state when the trial is over.

    Args:
        folder: of one phase's states.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tidy(self, records: Callable[[], Iterable[TrialRecord]]) -> None:
        """Remove what is left of trials that are over; ``records`` gives the phase's trials."""
        if self._folder.is_dir() and any(self._folder.iterdir()):
            remove_drafts(self._folder)
            for record in records():
                if record.state in _OVER_STATES:
                    self._remove(record.number)

    def __call__(self, event: Event) -> None:
        """Remove the state of a trial that ``event`` says is over."""
        if event.kind in _OVER and event.trial is not None:
            self._remove(event.trial)

    def _remove(self, number: int) -> None:
        (self._folder / f"{number}.safetensors").unlink(missing_ok=True)
