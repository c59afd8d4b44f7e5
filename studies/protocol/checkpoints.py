"""Saved states of running trials, which let a lost trial resume; removed when it finishes."""

from collections.abc import Callable, Iterable
from pathlib import Path

from mnist_core.files import remove_drafts
from studies.core.events import TRIAL_ENDS, Event
from studies.core.trials import TrialRecord


class RunningStates:
    """A listener that removes the state of a finished trial from ``folder``, of one phase."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tidy(self, records: Callable[[], Iterable[TrialRecord]]) -> None:
        """Remove what finished trials have left; ``records`` returns the phase's trials."""
        # A kill just after a trial's end leaves its state behind.
        if self._folder.is_dir() and any(self._folder.iterdir()):
            remove_drafts(self._folder)
            for record in records():
                if record.state.finished:
                    self._remove(record.number)

    def __call__(self, event: Event) -> None:
        """Remove the state of the trial whose end ``event`` is."""
        if event.kind in TRIAL_ENDS and event.trial is not None:
            self._remove(event.trial)

    def _remove(self, number: int) -> None:
        (self._folder / f"{number}.safetensors").unlink(missing_ok=True)
