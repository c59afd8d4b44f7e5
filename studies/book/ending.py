"""When a book's search ends early: the rules of ``search.stop``, and what is kept of their word."""

from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.book.pages import Pages
from studies.planning.settings import StopSettings
from studies.search.batches import Batches
from studies.search.stopping import COMPLETE, STOPPED, Stop, Stopping


class Ending:
    """Says whether anything new is begun, and keeps the reason with the study when not.

    Args:
        study: the study.
        settings: when the search ends; None: when there are no more trials.
        pages: the trials.
        planned: returns how many trials there are to be.
        say: gets the reason, once, as a line.
        batches: rules are looked at between two of them; None: at any time.
        complete: trials that are to run their full budget; 0: no matter how many. This is looked at
            at any time: the trials are the shortest row, by number, with so many complete ones.

    Attributes:
        stopped: why nothing new is begun; None: it is not so.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: StopSettings | None,
        pages: Pages,
        *,
        planned: Callable[[], int],
        say: Callable[[str], None],
        batches: Batches | None = None,
        complete: int = 0,
    ) -> None:
        self.stopped: Stop | None = None
        self._study = study
        self._trials = pages.trials
        self._planned = planned
        self._say = say
        self._batches = batches
        self._pages = pages
        self._complete = complete
        self._rules: Stopping | None = None
        if settings is not None:
            before = self._trials.values() if batches is None else batches.ended()
            by_number = batches is not None
            self._rules = Stopping(settings, pages.direction, before, by_number=by_number)
        self._kept = Stop.from_attribute(study.user_attrs.get(STOPPED))
        self._look()

    def now(self) -> bool:
        """Whether a limit ends the search; said and kept with the study when it does."""
        if self.stopped is None:
            self._look()
            self.announce()
        if self.stopped != self._kept:
            kept: dict[str, Any] | None = None
            if self.stopped is not None:
                kept = self.stopped.to_attribute()
            self._study.set_user_attr(STOPPED, kept)
            self._kept = self.stopped
        return self.stopped is not None

    def missing(self) -> int | None:
        """Return how many trials are to begin at least, if all that run come to be complete.

        None: ``complete`` asks for none.
        """
        if not self._complete:
            return None
        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        return max(0, self._complete - sum(len(self._pages.numbers(state)) for state in states))

    def adopt(self, stop: Stop | None) -> None:
        """Take over ``stop``, which another supervisor of the study has kept with it."""
        if stop is not None and self.stopped is None:
            self.stopped = self._kept = stop
            self.announce()

    def announce(self) -> None:
        """Say why the search is ended, if it is."""
        if self.stopped is not None:
            self._say(str(self.stopped))

    def ended(self, trial: FrozenTrial) -> None:
        """Take in a trial that ended."""
        if self._rules is not None:
            for ended in [trial] if self._batches is None else self._batches.ended():
                self._rules.ended(ended)

    def _look(self) -> None:
        complete = len(self._pages.numbers(TrialState.COMPLETE)) if self._complete else 0
        if self._complete and complete >= self._complete:
            why = f"{complete} ran their full budget"
            begun, planned = len(self._trials), self._planned()
            self.stopped = Stop(rule=COMPLETE, why=why, trials=begun, planned=planned)
            return
        if self._batches is not None and not self._batches.between():
            return
        if self._rules is not None and len(self._trials) < self._planned():
            self.stopped = self._rules.reason(self._trials.values(), self._planned())
