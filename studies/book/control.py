"""Stopping a study that runs."""

from mnist_core.counting import counted
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
