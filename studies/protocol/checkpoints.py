"""States of running trials on disk: what lets a lost trial go on, and their removal in time."""

from collections.abc import Callable, Iterable
from pathlib import Path

from mnist_core.console.plain_text import counted
from mnist_core.files import remove_drafts
from studies.core.events import Event
from studies.core.trials import TrialRecord
from studies.engines.base import Engine


class StudyInterrupted(Exception):
    """The study was asked to stop before it was finished; it can be resumed.

    Attributes:
        phase: where it stopped.
        done: trainings of that phase that are over.
        total: trainings of that phase.
    """

    def __init__(self, phase: str, done: int, total: int) -> None:
        super().__init__(f"stopped in {phase} after {done} of {counted(total, 'training')}")
        self.phase, self.done, self.total = phase, done, total


class ConfirmedElsewhere(Exception):
    """Another supervisor confirms the study's winners: this one has nothing more to do."""


class Control:
    """The handle by which a signal handler stops a study.

    Attributes:
        asked: how often the study was asked to stop.
        busy: whether the engine is running trials; otherwise there is nothing to wait for.
        reading: whether the test set is being read, which is not to be broken off.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked = 0
        self.busy = False
        self.reading = False

    def stop(self) -> None:
        """Ask once: running trials finish. Ask twice: they end at once, and can be resumed."""
        self.asked += 1
        self.engine.stop(now=self.asked > 1)


_OVER = ("complete", "pruned", "failed")
_OVER_STATES = ("COMPLETE", "PRUNED", "FAIL")


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
