"""How a book's trials begin: new ones as the source and the sampler have them, others again."""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import ATTEMPT, SEED, STOPPED
from studies.core.goals import Goals
from studies.ledger.order import Order
from studies.ledger.pages import Pages
from studies.planning.settings import StopSettings
from studies.search.batch_order import Batches
from studies.search.pruning import FairPruning, Pruning
from studies.search.sources import Source
from studies.search.stopping import COMPLETE, Stop, Stopping


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


class Rivals:
    """Asks the pruner about a trial, which it compares with its rivals.

    These are the trials of the same choice. Where there are several objectives the curves are of
    the first one, and only trials that are as good beforehand in the others (no more parameters)
    can show by it that the trial is beaten; Optuna itself prunes nothing there.

    Args:
        pages: the trials.
        goals: what they are judged by.
        pruning: pruner name and options, and the scientific parameter.
        batches: only trials of earlier batches are rivals; None: all are.
    """

    def __init__(
        self, pages: Pages, goals: Goals, pruning: Pruning, batches: Batches | None = None
    ) -> None:
        name, options, scientific = pruning
        self._pages = pages
        self._goals = goals
        self._batches = batches
        self._peers = Peers(scientific, pages.trials)
        self._pruning = FairPruning(
            name,
            options,
            scientific=scientific,
            direction=pages.direction,
            write=pages.mark,
        )

    def beat(self, trial: FrozenTrial, latest: Mapping[int, Mapping[str, float]]) -> bool:
        """Whether ``trial``, whose last report is its last intermediate value, is to be stopped.

        Args:
            trial: a running trial of the book.
            latest: the last metrics of running trials, by number.
        """
        peers = self._peers.of(trial)
        if self._goals.several:
            own = latest.get(trial.number, {})
            peers = [
                peer
                for peer in peers
                if self._goals.as_good_beforehand(
                    latest.get(peer.number) or self._pages.metrics(peer), than=own
                )
            ]
        if self._batches is not None:
            peers = self._batches.earlier(trial, peers)
        return self._pruning.should_prune(trial, peers)


class Peers:
    """A book's trials by their value of the scientific parameter.

    A trial that is over is filed once; only those that are open are looked at each time. So a
    report costs as much as there are trials of its own choice, not of all.

    Args:
        scientific: the parameter whose choices are kept apart; None: all trials are peers.
        trials: the book's, by number from 0 without a gap; it may grow, and open ones may change.
    """

    def __init__(self, scientific: str | None, trials: Mapping[int, FrozenTrial]) -> None:
        self._scientific = scientific
        self._trials = trials
        self._seen = 0
        self._open: list[int] = []
        self._over: dict[Any, list[int]] = defaultdict(list)
        """Numbers: the book may put another object in the place of a trial that is over."""

    def of(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return ``trial``, one of the book's, and its peers by number."""
        self._open += range(self._seen, len(self._trials))
        self._seen = len(self._trials)
        still_open = []
        for number in self._open:
            other = self._trials[number]
            if other.state.is_finished():
                insort(self._over[self._choice(other)], number)
            else:
                still_open.append(number)
        self._open = still_open
        choice = self._choice(trial)
        peers = list(self._over[choice])
        for number in still_open:
            if self._choice(self._trials[number]) == choice:
                insort(peers, number)
        return [self._trials[number] for number in peers]

    def _choice(self, trial: FrozenTrial) -> Any:
        return None if self._scientific is None else trial.params.get(self._scientific)


Begun = tuple[FrozenTrial, dict[str, Any]]
"""A trial that has begun, and the params that its task has."""


class Beginning:
    """Begins a book's trials.

    Args:
        study: the study.
        source: gives new trials.
        pages: the trials.
        order: records that they begin.
        ending: says when nothing new is begun.
        batches: which trials may begin; None: all.
    """

    def __init__(
        self,
        study: optuna.Study,
        source: Source,
        pages: Pages,
        order: Order,
        ending: Ending,
        batches: Batches | None,
    ) -> None:
        self._study = study
        self._source = source
        self._pages = pages
        self._order = order
        self._ending = ending
        self._batches = batches

    def next(self) -> Begun | None:
        """Begin the next trial: one that waits to be run again, else a new one, if there is one."""
        waits = min(self._pages.numbers(TrialState.WAITING), default=None)
        return self._new(len(self._pages.trials)) if waits is None else self._again(waits)

    def _new(self, number: int) -> Begun | None:
        if self._batches is not None and not self._batches.may_begin(number):
            return None
        request = self._source.request(number)
        if request is None or self._ending.now() or self._ending.missing() == 0:
            return None
        self._choose_sampler(number)
        attributes = {**request.attributes, SEED: request.seed, ATTEMPT: 0}
        trial, params = self._pages.begin(
            number,
            required=request.params,
            attributes=attributes | self._order.new(),
            suggest=self._source.suggest,
        )
        self._order.begun(trial, None)
        return trial, params

    def _again(self, number: int) -> Begun:
        self._choose_sampler(number)
        trial = self._pages.ask(number)
        params = self._source.suggest(trial)
        before = self._pages.trials[number].params
        frozen = self._pages.add(trial)
        self._order.begun(frozen, before)
        return frozen, params

    def _choose_sampler(self, number: int) -> None:
        self._study.sampler = self._source.sampler(number)
        if self._batches is not None:
            self._study.sampler = self._batches.sampler(self._study.sampler, number)
