"""What a trial book decides: when the search ends, and which trial starts next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from studies.core.attributes import ATTEMPT, SEED, STOPPED
from studies.core.pauses import paused
from studies.ledger.order import Order
from studies.ledger.pauses import Pauses
from studies.ledger.trial_table import TrialTable
from studies.planning.settings import StopSettings
from studies.search.batch_order import Batches
from studies.search.sources import Source
from studies.search.stopping import COMPLETE, Stop, Stopping

StartedTrial = tuple[FrozenTrial, dict[str, Any]]
"""A trial that has started, and the params of its task."""


class SearchEnd:
    """Says whether a search starts no more trials, and keeps the reason with the study.

    Args:
        settings: the rules that end the search early; None: there are none.
        planned: returns the planned number of trials.
        say: gets the reason, once, as a line.
        batches: the rules are applied between two of them only; None: at any time.
        reports_per_epoch: of a trial.
        complete: number of trials that are to run their full budget, which ends the search at any
            time; 0: that does not matter.

    Attributes:
        stopped: why no more trials start; None: they do.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: StopSettings | None,
        table: TrialTable,
        *,
        planned: Callable[[], int],
        say: Callable[[str], None],
        batches: Batches | None = None,
        reports_per_epoch: int = 1,
        complete: int = 0,
    ) -> None:
        self.stopped: Stop | None = None
        self._study = study
        self._trials = table.trials
        self._planned = planned
        self._say = say
        self._batches = batches
        self._table = table
        self._complete = complete
        self._rules: Stopping | None = None
        if settings is not None:
            before = self._trials.values() if batches is None else batches.ended()
            by_number = batches is not None
            self._rules = Stopping(
                settings,
                table.direction,
                before,
                by_number=by_number,
                reports_per_epoch=reports_per_epoch,
            )
        self._kept = Stop.from_attribute(study.user_attrs.get(STOPPED))
        self._look()

    def now(self) -> bool:
        """Whether the search has ended; the reason is announced and kept with the study."""
        if self.stopped is None:
            self._look()
            self.announce()
        # A resume with a wider limit removes the reason.
        if self.stopped != self._kept:
            kept = None if self.stopped is None else self.stopped.to_attribute()
            self._study.set_user_attr(STOPPED, kept)
            self._kept = self.stopped
        return self.stopped is not None

    def missing(self) -> int | None:
        """Return how many more trials must start if all that run complete; None: any number."""
        if not self._complete:
            return None
        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        return max(0, self._complete - sum(len(self._table.numbers(state)) for state in states))

    def adopt(self, stop: Stop | None) -> None:
        """Take over ``stop``, which another supervisor has kept with the study."""
        if stop is not None and self.stopped is None:
            self.stopped = self._kept = stop
            self.announce()

    def announce(self) -> None:
        """Say why the search has ended, if it has."""
        if self.stopped is not None:
            self._say(str(self.stopped))

    def ended(self, trial: FrozenTrial) -> None:
        """Take in a trial that ended."""
        if self._rules is not None:
            for ended in [trial] if self._batches is None else self._batches.ended():
                self._rules.ended(ended)

    def _look(self) -> None:
        complete = len(self._table.numbers(TrialState.COMPLETE)) if self._complete else 0
        if self._complete and complete >= self._complete:
            why = f"{complete} ran their full budget"
            started, planned = len(self._trials), self._planned()
            self.stopped = Stop(rule=COMPLETE, why=why, trials=started, planned=planned)
            return
        # Within a batch the answer would depend on which of its trials have finished.
        if self._batches is not None and not self._batches.between():
            return
        more = len(self._trials) < self._planned() or any(map(paused, self._trials.values()))
        if self._rules is not None and more:
            self.stopped = self._rules.reason(self._trials.values(), self._planned())


@dataclass(frozen=True)
class TrialStarter:
    """Starts a book's trials: new ones as source and sampler have them, waiting ones again.

    With ``batches`` only trials of the batch that is due start. ``pauses``: of its trials.
    """

    study: optuna.Study
    source: Source
    table: TrialTable
    order: Order
    end: SearchEnd
    batches: Batches | None
    pauses: Pauses

    def next(self) -> StartedTrial | None:
        """Start the first waiting trial again, or a paused one that is due, or else a new one."""
        waits = min(self.table.numbers(TrialState.WAITING), default=None)
        if waits is not None:
            return self._again(waits)
        due = self.pauses.next()
        if due is not None and not self.end.now():
            return self._resumed(due)
        return self._new(len(self.table.trials))

    def _new(self, number: int) -> StartedTrial | None:
        if self.batches is not None and not self.batches.may_begin(number):
            return None
        request = self.source.request(number)
        if request is None or self.end.now() or self.end.missing() == 0:
            return None
        request = self.source.adapted(request, self._seen(number))
        self._choose_sampler(number)
        attributes = {**request.attributes, SEED: request.seed, ATTEMPT: 0}
        trial, params = self.table.begin(
            number,
            required=request.params,
            attributes=attributes | self.order.new(),
            suggest=self.source.suggest,
        )
        self.order.started(trial, None)
        return trial, params

    def _resumed(self, number: int) -> StartedTrial:
        trial = self.pauses.resume(number)
        # It has all its params, so no sampler is asked.
        return trial, self.source.suggest(FixedTrial(trial.params, number))

    def _seen(self, number: int) -> Iterator[FrozenTrial]:
        """Yield the trials that decide what trial ``number`` is: in batch order earlier batches."""
        before = number if self.batches is None else self.batches.first(number)
        return (trial for trial in self.table.trials.values() if trial.number < before)

    def _again(self, number: int) -> StartedTrial:
        self._choose_sampler(number)
        trial = self.table.ask(number)
        params = self.source.suggest(trial)
        before = self.table.trials[number].params
        frozen = self.table.add(trial)
        self.order.started(frozen, before)
        return frozen, params

    def _choose_sampler(self, number: int) -> None:
        self.study.sampler = self.source.sampler(number)
        if self.batches is not None:
            self.study.sampler = self.batches.sampler(self.study.sampler, number)
