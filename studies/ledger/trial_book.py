"""The trial book: ask, report, prune?, tell, reap. The only code that changes a trial's state.

A trial's life in Optuna's states::

    (new) ---> RUNNING -> COMPLETE   it ran its full budget
               ^  |-----> PRUNED     the pruner stopped it
               |  |-----> FAIL       with `failure`: kind, message, traceback
            WAITING <-+              its worker or its supervisor died: run again, same number,
                                     params and seed

Every trial begins in one write, with its seed and params (``studies/ledger/proposing.py``). So
whoever looks at the database after any kind of death finds whole trials alone; one that claims to
run, but is nobody's by the lease, waits to be run again.

Reports are decided upon in memory and written a moment later, when the worker has its answer
(``settle``; ``studies/ledger/pages.py`` holds the trials). A trial that is run again gives the same
reports again; those that its predecessor has survived are answered as they were then.
A curve is of the first objective, also where there are several; see
``studies/ledger/decisions.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.base import Outcome, Task
from studies.core.attributes import ATTEMPT, SEED
from studies.core.events import Listener, Stream
from studies.core.goals import Goals
from studies.core.trials import INFEASIBLE, Failure, TrialRecord
from studies.ledger import outcomes
from studies.ledger.decisions import Beginning, Ending, Rivals
from studies.ledger.order import Order
from studies.ledger.outcomes import Announcer, Attempts
from studies.ledger.pages import Pages
from studies.planning.settings import StopSettings
from studies.search.batch_order import Batches
from studies.search.failures import UNCOUNTED
from studies.search.pruning import Pruning
from studies.search.sources import Source
from studies.search.stopping import Stop
from studies.storage import leases, records
from studies.storage.leases import Lease
from studies.storage.open import Storage, one_line_garbage


class Book:
    """One study's trial book; implements ``Work``. Use it as a context manager.

    Open one with ``open_search`` or ``open_confirm``.

    Args:
        study: the study, already leased to this process.
        storage: the storage of ``study``.
        lease: what ``leases.take`` returned.
        phase: ``search`` or ``confirm``; the events' phase.
        source: gives new trials.
        goals: what the trials are judged by.
        pruning: pruner name and options, and the scientific parameter.
        retries: how often a trial that was lost is begun again.
        stop: when nothing new is begun any more; None: when the source has no more.
        complete: trials that are to run their full budget, then nothing new begins; 0: no matter.
        batch: trials of a batch, see ``studies/search/batch_order.py``; 0: no batches, each trial
            begins as soon as a worker is free.
        ordered: whether the order of a search is recorded, see ``studies/ledger/order.py``.
        listeners: get every event. One that raises is logged once and never harms a trial.
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
        complete: int = 0,
        batch: int = 0,
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
        self._announce = Announcer(Stream(phase, listeners))
        self._attempts = Attempts()
        self._pages = Pages(study, storage)
        self._trials = self._pages.trials
        self._order = Order(self._pages, on=ordered and phase == "search")
        batches = Batches(batch, self._trials) if batch else None
        self._rivals = Rivals(self._pages, goals, pruning, batches)
        self._ending = Ending(
            study,
            stop,
            self._pages,
            planned=lambda: self._source.total,
            say=self._announce.say,
            batches=batches,
            complete=complete,
        )
        self._beginning = Beginning(study, source, self._pages, self._order, self._ending, batches)
        self._announce.phase(
            phase,
            total=self.total,
            done=self.done,
            counts=self._pages.counts(),
            **(
                {"confirmed": self._pages.results()}
                if phase == "confirm"
                else {"best": self._pages.best()}
            ),
        )
        # Put back trials whose supervisor died: this process alone holds the lease.
        self._lose_running("SupervisorDied", "its supervisor died")
        self._ending.announce()

    @property
    def total(self) -> int:
        """Trials that the study comes to, over all resumes; those begun, if it was stopped.

        Where so many are to be complete: if all that run now will be, as nobody knows better.
        """
        begun, missing = len(self._trials), self._ending.missing()
        if self.stopped is not None:
            return begun
        total = max(self._source.total, begun)
        return total if missing is None else min(total, begun + missing)

    @property
    def stopped(self) -> Stop | None:
        """Why nothing new is begun, though the source has more; None: it is not so."""
        return self._ending.stopped

    @property
    def done(self) -> int:
        """Trials that are over: complete, pruned or failed."""
        return sum(self._pages.counts().values())

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number, as the book holds them: nothing is read."""
        return [self._trials[number] for number in sorted(self._trials)]

    def records(self, *, brief: bool = False) -> list[TrialRecord]:
        """Return all trials by number; ``brief``: see ``read_trials``."""
        self.settle()
        with one_line_garbage(self._storage.url):
            return records.read_trials(self.study, brief=brief)

    def set_attribute(self, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with the study."""
        self.study.set_user_attr(name, value)

    def ask(self) -> Task | None:
        """Begin the next trial: one that waits to be run again, else a new one."""
        self.settle()
        begun = self._beginning.next()
        if begun is None:
            return None
        trial, params = begun
        self._attempts.begin(trial.number)
        return Task(
            number=trial.number,
            params=params,
            seed=trial.user_attrs[SEED],
            attempt=trial.user_attrs.get(ATTEMPT, 0),
        )

    def started(self, task: Task, pid: int) -> None:
        """Note that a worker has begun ``task``."""
        self._attempts.begin(task.number)
        self._announce.started(task, pid)

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Decide whether ``task`` goes on; the report itself is written by ``settle``."""
        goes_on = self._goes_on(task, step, metrics)
        self._order.reported(task.number, goes_on)
        return goes_on

    def _goes_on(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        trial = self._trials[task.number]
        self._attempts.latest[task.number] = dict(metrics)
        self._pages.put_off(self._announce.report(task.number, step, metrics))
        if task.number in self._attempts.failures:
            return False
        failure = outcomes.failure_in_report(self._goals.metric, metrics, step)
        if failure is not None:
            self._attempts.failures[task.number] = failure
            return False
        survived = trial.last_step is not None and step < trial.last_step
        self._pages.report(trial, step, float(metrics[self._goals.metric]))
        if survived:
            return True
        # One that is beyond pruning is judged as well: it is in the rungs that it reaches.
        beaten = self._rivals.beat(trial, self._attempts.latest)
        return not beaten or not self._source.may_prune(task.number)

    def wait_for_others(self, stopped: Callable[[], bool]) -> bool:
        """Whether others have left something to begin; see ``studies/ledger/joining.py``."""
        return False

    def settle(self) -> None:
        """Write what ``report`` put off. The engine calls it when the worker has its answer."""
        self._pages.settle()

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Tell COMPLETE or PRUNED; FAIL when the result is no finite number."""
        self.settle()
        trial, metrics = self._trials[task.number], dict(outcome.metrics)
        failure = self._attempts.failures.get(task.number)
        failure = failure or outcomes.failure_of(self._goals, outcome)
        if failure is None or failure.kind == INFEASIBLE:
            self._pages.constrain(trial, self._goals.excesses(metrics))
        if failure is not None:
            self._attempts.latest.setdefault(task.number, metrics)
            self.fail(task, failure)
            return
        seconds = self._over(task, metrics, outcome.attributes)
        if outcome.stopped:
            self._tell(trial, TrialState.PRUNED)
            self._announce.pruned(trial, outcome, seconds)
        else:
            self._tell(trial, TrialState.COMPLETE, [float(metrics[n]) for n in self._goals.names])
            self._announce.complete(trial, outcome, seconds)

    def fail(self, task: Task, failure: Failure) -> None:
        """Tell FAIL, with the reason."""
        self.settle()
        trial = self._trials[task.number]
        seconds = self._over(task, self._attempts.latest.get(task.number, {}), failure)
        self._tell(trial, TrialState.FAIL)
        self._announce.failed(trial, failure, seconds)

    def lose(self, task: Task, failure: Failure) -> None:
        """Put ``task`` back to be run again, or tell FAIL when that was done too often.

        What is not the trial's doing does not count: an interruption by the user
        (``Interrupted``), the death of the supervisor (``SupervisorDied``), a worker that could not
        begin (``BEFORE_TRAINING``).
        """
        self.settle()
        self._lose(self._trials[task.number], failure)

    def close(self) -> None:
        """Put back what still runs, and give the lease up."""
        try:
            self.settle()
            self._lose_running("Interrupted", "the run was stopped")
        finally:
            leases.release(self.study, self._lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lose_running(self, kind: str, message: str) -> None:
        for number in self._pages.numbers(TrialState.RUNNING):
            self._lose(self._trials[number], Failure(kind=kind, message=message))

    def _lose(self, trial: FrozenTrial, failure: Failure) -> None:
        number = trial.number
        attempt = int(trial.user_attrs.get(ATTEMPT, 0))
        if failure.kind not in UNCOUNTED:
            attempt += 1
            if attempt > self._retries:
                task = Task(number=number, params=trial.params, seed=0)
                self.fail(task, outcomes.given_up(failure, attempt))
                return
        # One write: counted and not put back, or counted again after that, it would lose a retry.
        counted = {ATTEMPT: attempt, **self._order.put_back(trial)}
        self._pages.put_back(trial, counted)
        self._attempts.end(number)
        self._announce.lost(trial, failure, attempt)

    def _over(
        self, task: Task, metrics: Mapping[str, float], left: Mapping[str, Any] | Failure
    ) -> float | None:
        """Write what is kept with a trial that is over; return its seconds."""
        trial = self._trials[task.number]
        seconds = self._attempts.seconds(task.number)
        self._pages.keep(trial, metrics, left, seconds, self._order.over(trial))
        return seconds

    def _tell(
        self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None = None
    ) -> None:
        self._pages.tell(trial, state, values)
        self._attempts.end(trial.number)
        self._ending.ended(trial)
