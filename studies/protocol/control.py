"""How a running study is asked to stop, and what then ends it."""

from mnist_core.console.plain_text import counted
from studies.engines.base import Engine


class StudyInterrupted(Exception):
    """The study was stopped in ``phase`` before it finished; it can be resumed."""

    def __init__(self, phase: str, done: int, total: int) -> None:
        super().__init__(f"stopped in {phase} after {done} of {counted(total, 'trial')}")
        self.phase, self.done, self.total = phase, done, total


class ConfirmedElsewhere(Exception):
    """Another supervisor confirms the study's winners: this one has nothing more to do."""


class Control:
    """The handle by which a signal handler stops a study.

    Attributes:
        asked: number of requests to stop.
        busy: whether the engine is running trials; otherwise there is nothing to wait for.
        reading: whether the test set is being read, which should not be interrupted.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked = 0
        self.busy = False
        self.reading = False

    def stop(self) -> None:
        """At the first call running trials finish; at the second they end, and can be resumed."""
        self.asked += 1
        # A training may take an hour: who asks twice does not wait for it.
        self.engine.stop(now=self.asked > 1)

    def check(self, phase: str, done: int, total: int) -> None:
        """Raise StudyInterrupted if a stop was requested."""
        if self.asked:
            raise StudyInterrupted(phase, done, total)
