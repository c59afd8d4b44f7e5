"""The trial book: ask, report, prune?, tell, reap. The only code that changes a trial's state.

A trial's life in Optuna's states::

    (new) ---> RUNNING -> COMPLETE   it ran its full budget
               ^  |-----> PRUNED     the pruner stopped it
               |  |-----> FAIL       with `failure`: kind, message, traceback
            WAITING <-+              its worker or its supervisor died: run again, same number,
                                     params and seed; a paused trial stays RUNNING
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.base import Outcome, Task
from studies.core.attributes import ATTEMPT, LABEL, SECONDS, SEED
from studies.core.events import Listener, Stream
from studies.core.goals import Goals
from studies.core.trials import INFEASIBLE, INTERRUPTED, SUPERVISOR_DIED, Failure, TrialRecord
from studies.ledger import outcomes
from studies.ledger.answers import Answers
from studies.ledger.decisions import SearchEnd, TrialStarter
from studies.ledger.order import Order
from studies.ledger.outcomes import RunningAttempts, TrialEvents
from studies.ledger.pauses import Pauses, last_metrics
from studies.ledger.trial_table import TrialTable
from studies.planning.settings import StopSettings
from studies.search.batch_order import Batches
from studies.search.failures import UNCOUNTED
from studies.search.pausing import Pausing
from studies.search.pruning import Pruning, PruningPeers
from studies.search.sources import Source
from studies.search.stopping import Stop
from studies.storage import leases, records
from studies.storage.leases import Lease
from studies.storage.open import Storage


class TrialBook:
    """One study's trial book; implements ``Work``. ``open_search`` and ``open_confirm`` open one.

    Args:
        study: the study, already leased to this process.
        phase: ``search`` or ``confirm``.
        retries: how often a lost trial is started again.
        stop: rules that end the search before the source does.
        pausing: which trials pause and which continue; None: none pauses.
        reports_per_epoch: of a trial, for ``stop``.
        complete: number of trials that are to run their full budget, which ends the search; 0: that
            does not matter.
        batch: trials of a batch, see ``studies/search/batch_order.py``; 0: each trial starts as
            soon as a worker is free.
        later: the most trials that other openings of the book add once these have ended, given its
            records; they are only told, and count for nothing here.
        ordered: whether the order of a search is recorded, see ``studies/ledger/order.py``.
        listeners: get every event. One that raises is logged once; the trial continues.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: Storage,
        *,
        lease: Lease,
        phase: str,
        source: Source,
        goals: Goals,
        pruning: Pruning,
        retries: int,
        stop: StopSettings | None = None,
        pausing: Pausing | None = None,
        reports_per_epoch: int = 1,
        complete: int = 0,
        batch: int = 0,
        later: Callable[[Sequence[TrialRecord]], int] | None = None,
        ordered: bool = True,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.study = study
        self.phase = phase
        self._storage = storage
        self._lease = lease
        self._source = source
        self._goals = goals
        self._retries = retries
        self._stream = Stream(phase, listeners)
        self._events = TrialEvents(self._stream)
        self._attempts = RunningAttempts()
        self._table = TrialTable(study, storage)
        self._trials = self._table.trials
        self._order = Order(self._table, on=ordered and phase == "search")
        batches = Batches(batch, self._trials) if batch else None
        peers = PruningPeers(self._trials, goals, pruning, write=self._table.mark, batches=batches)
        self._end = SearchEnd(
            study,
            stop,
            self._table,
            planned=lambda: self._source.total,
            say=self._events.say,
            batches=batches,
            reports_per_epoch=reports_per_epoch,
            complete=complete,
        )
        self._pauses = Pauses(pausing, self._table, self._order, self._attempts, self._events)
        self._answers = Answers(
            self._table, self._attempts, goals, source, peers, self._pauses, self._stream
        )
        self._starter = TrialStarter(
            study, source, self._table, self._order, self._end, batches, self._pauses
        )
        more = later(self.records()) if later is not None and self.done < self.total else 0
        self._events.phase(
            phase,
            total=self.total + more,
            done=self.done,
            **({"at_most": True} if more else {}),
            counts=self._table.counts(),
            **({"paused": self.paused} if self.paused else {}),
            **self._table.standing(phase, pruning[2]),
        )
        # Reset trials whose supervisor died: this process alone holds the lease.
        self._lose_running(SUPERVISOR_DIED)
        self._end.announce()

    @property
    def total(self) -> int:
        """Trials of the study over all resumes; those that have started, if it was stopped."""
        # If a number is to be complete, those that run now are counted as complete.
        started, missing = len(self._trials), self._end.missing()
        if self.stopped is not None:
            return started
        total = max(self._source.total, started)
        return total if missing is None else min(total, started + missing)

    @property
    def stopped(self) -> Stop | None:
        """Why no more trials start although the source has more, or None."""
        return self._end.stopped

    @property
    def done(self) -> int:
        """Number of finished trials: complete, pruned or failed."""
        return sum(self._table.counts().values())

    @property
    def paused(self) -> list[int]:
        """Numbers of the trials that are paused now."""
        return self._pauses.numbers()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number, from memory."""
        return [self._trials[number] for number in sorted(self._trials)]

    def records(self, *, brief: bool = False) -> list[TrialRecord]:
        """Return all trials by number; ``brief``: see ``read_trials``."""
        self.flush()
        return records.read_trials(self.study, brief=brief)

    def set_attribute(self, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with the study."""
        self.study.set_user_attr(name, value)

    def ask(self) -> Task | None:
        """Start the next trial: one that waits to be run again, or else a new one."""
        self.flush()
        started = self._starter.next()
        if started is None:
            self.end_paused()
            return None
        trial, params = started
        self._attempts.start(trial.number)
        return Task(
            number=trial.number,
            params=params,
            seed=trial.user_attrs[SEED],
            attempt=trial.user_attrs.get(ATTEMPT, 0),
        )

    def started(self, task: Task, pid: int) -> None:
        """Note that a worker has started ``task``."""
        self._attempts.start(task.number)
        label = self._trials[task.number].user_attrs.get(LABEL, "")
        self._events.started(task, pid, label)

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Decide whether ``task`` continues; the report itself is written by ``flush``."""
        continues = self._answers.continues(task, step, metrics)
        self._order.reported(task.number, continues)
        return continues

    def wait_for_others(self, stopped: Callable[[], bool]) -> bool:
        """Whether others have left something to begin; see ``studies/ledger/joining.py``."""
        return False

    def flush(self, *, now: bool = True) -> float:
        """Write what ``report`` put off; see ``Work.flush``."""
        return self._table.flush(now=now)

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Tell COMPLETE or PRUNED, or FAIL if the result is not a finite number."""
        self.flush()
        trial, metrics = self._trials[task.number], dict(outcome.metrics)
        failure = self._attempts.failures.get(task.number)
        failure = failure or outcomes.failure_of(self._goals, outcome)
        # Also one that was not trained tells samplers how far it is above the limits.
        if failure is None or failure.kind == INFEASIBLE:
            self._table.constrain(trial, self._goals.excesses(metrics))
        if failure is not None:
            # A trial that made no report has these alone.
            self._attempts.latest.setdefault(task.number, metrics)
            self.fail(task, failure)
            return
        if outcome.stopped and self._pauses.pauses(task.number):
            self._pauses.pause(trial, metrics, outcome.attributes)
            return
        seconds = self._keep(task, metrics, outcome.attributes)
        if outcome.stopped:
            self._tell(trial, TrialState.PRUNED)
            self._events.pruned(trial, outcome, seconds)
        else:
            self._tell(trial, TrialState.COMPLETE, self._goals.values(metrics))
            self._events.complete(trial, outcome, seconds)

    def fail(self, task: Task, failure: Failure) -> None:
        """Tell FAIL, with the reason."""
        self.flush()
        trial = self._trials[task.number]
        seconds = self._keep(task, self._attempts.latest.get(task.number, {}), failure)
        self._tell(trial, TrialState.FAIL)
        self._events.failed(trial, failure, seconds)

    def lose(self, task: Task, failure: Failure) -> None:
        """Put ``task`` back to be run again, or tell FAIL if it was lost too often."""
        self.flush()
        self._lose(self._trials[task.number], failure)

    def end_paused(self) -> None:
        """Tell PRUNED for the paused trials once none of them can continue."""
        for trial in self._pauses.over():
            self._table.attributes(trial, self._order.ended(trial))
            self._tell(trial, TrialState.PRUNED)
            outcome = Outcome(metrics=last_metrics(trial), stopped=True)
            self._events.pruned(trial, outcome, trial.user_attrs.get(SECONDS))

    def close(self) -> None:
        """Reset what still runs, and release the lease."""
        try:
            self.flush()
            self._lose_running(INTERRUPTED)
        finally:
            leases.release(self.study, self._lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lose_running(self, failure: Failure) -> None:
        for number in self._pauses.running():
            self._lose(self._trials[number], failure)

    def _lose(self, trial: FrozenTrial, failure: Failure) -> None:
        number = trial.number
        attempt = int(trial.user_attrs.get(ATTEMPT, 0))
        # Only losses that the trial may have caused count: not those by the user, by the end of
        # the supervisor, or of a worker that could not start.
        if failure.kind not in UNCOUNTED:
            attempt += 1
            if attempt > self._retries:
                task = Task(number=number, params=trial.params, seed=0)
                self.fail(task, outcomes.given_up(failure, attempt))
                return
        # One write: a kill between two would count the loss twice, or not at all.
        order, pause = self._order.put_back(trial), self._pauses.put_back(trial)
        self._table.put_back(trial, {ATTEMPT: attempt, **order, **pause})
        self._attempts.end(number)
        self._events.lost(trial, failure, attempt)

    def _keep(
        self, task: Task, metrics: Mapping[str, float], left: Mapping[str, Any] | Failure
    ) -> float | None:
        """Keep the facts of a trial that is about to end; return its seconds."""
        trial = self._trials[task.number]
        seconds = self._pauses.seconds(trial)
        self._table.keep(trial, metrics, left, seconds, self._order.ended(trial))
        return seconds

    def _tell(
        self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None = None
    ) -> None:
        self._table.tell(trial, state, values)
        self._attempts.end(trial.number)
        self._end.ended(trial)
