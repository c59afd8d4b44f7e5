"""A trial book that several supervisors write, on one or more machines: ``--join``.

Each asks for, runs and tells trials of its own; a trial carries the identity of the supervisor that
runs it. A trial is begun, ended and put back in turns, after a look at what the others have done.
So the trials are exactly as many as planned, whoever dies when: a trial whose supervisor is gone is
put back by the next one that looks, and run again with the same params and seed.

A supervisor that was taken for dead while it lived finds its trials gone, and drops its results.
Pruner and sampler see the others' trials as they were a second ago at most.
"""

import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from objectives.base import Outcome, Task
from studies.core.attributes import OWNER, STOPPED
from studies.core.events import Listener, Stream
from studies.core.trials import Failure
from studies.ledger.trial_book import Book
from studies.planning.plan import Plan
from studies.search.population_checks import is_population
from studies.search.stopping import Stop
from studies.storage.leases import Lease
from studies.storage.membership import Part
from studies.storage.open import Storage


class Fence:
    """A storage that writes nothing to trials that were taken away; all else is ``storage``'s.

    Attributes:
        gone: their identities.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.gone: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        """Write a report, if the trial was not taken away."""
        self._write("set_trial_intermediate_value", trial_id, step, value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write a user attribute, if the trial was not taken away."""
        self._write("set_trial_user_attr", trial_id, key, value)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Write user attributes, if the trial was not taken away."""
        self._write("set_trial_user_attrs", trial_id, attributes)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write a system attribute, if the trial was not taken away."""
        self._write("set_trial_system_attr", trial_id, key, value)

    def _write(self, how: str, trial_id: int, *arguments: Any) -> None:
        if trial_id in self.gone:
            return
        try:
            getattr(self._storage, how)(trial_id, *arguments)
        except UpdateFinishedTrialError:  # taken away, run and ended since the last look
            self.gone.add(trial_id)


_DIED = Failure(kind="SupervisorDied", message="its supervisor died")
_FRESH = 1.0
"""Seconds that what is known of the others' trials may be old."""


class JoinedBook(Book):
    """A book that is written by this process and by others.

    Args:
        study: the study.
        storage: the storage of ``study``.
        part: this process's.
        lease, phase, listeners, options: of ``Book``.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: Storage,
        *,
        part: Part,
        lease: Lease,
        phase: str,
        listeners: Sequence[Listener],
        **options: Any,
    ) -> None:
        self._part = part
        self._mine: dict[int, int] = {}
        self._out: set[int] = set()
        """Trials begun here that have not come back, those that were taken away too."""
        self._fence = Fence(storage)
        self._looked = self._asked_in_vain = 0.0
        self._said_waiting = False
        self._stream = Stream(phase, listeners)
        # As much of a storage as the book writes trials with.
        book_storage = cast(Storage, self._fence)
        begin = functools.partial(Book.__init__, self, study, book_storage, lease=lease)
        part.in_turn(lambda: begin(phase=phase, listeners=listeners, ordered=False, **options))

    def ask(self) -> Task | None:
        """Begin the next trial, one that nobody runs."""
        now = time.monotonic()
        if now - self._asked_in_vain < _FRESH:
            return None
        task = self._part.in_turn(self._begin)
        if task is None:
            self._asked_in_vain = now
        return task

    def _begin(self) -> Task | None:
        self._look()
        self._ending.adopt(Stop.from_attribute(self.study.user_attrs.get(STOPPED)))
        # What goes by number must not be taken for another attempt's that still runs here.
        waiting = min(self._pages.numbers(TrialState.WAITING), default=None)
        task = None if waiting in self._out else super().ask()
        if task is not None:
            trial = self._trials[task.number]
            self._fence.gone.discard(self._pages.identity(trial))
            self._pages.attribute(trial, OWNER, self._part.identity)
            # It is begun now: without its owner it would be put back.
            self._out.add(task.number)
            self._mine[task.number] = self._pages.identity(trial)
        return task

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Decide whether ``task`` goes on; not when it was taken away."""
        return task.number in self._mine and super().report(task, step, metrics)

    def settle(self) -> None:
        """Write what ``report`` put off, after a look at the others' trials."""
        self._part.beat()
        if time.monotonic() - self._looked >= _FRESH:
            self._look()
        super().settle()

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Tell how ``task`` ended, if it is still this process's."""
        self._in_turn(task, lambda: Book.finish(self, task, outcome))

    def fail(self, task: Task, failure: Failure) -> None:
        """Tell FAIL, if ``task`` is still this process's."""
        self._in_turn(task, lambda: Book.fail(self, task, failure))

    def lose(self, task: Task, failure: Failure) -> None:
        """Put ``task`` back, if it is still this process's."""
        self._in_turn(task, lambda: Book.lose(self, task, failure))
        self._asked_in_vain = 0.0

    def close(self) -> None:
        """Put back what this process still runs, and take part no more."""
        try:
            self._part.in_turn(self._put_mine_back)
        finally:
            self._part.leave()

    def _put_mine_back(self) -> None:
        self._look()
        self.settle()
        self._lose_running("Interrupted", "the run was stopped")

    def wait_for_others(self, stopped: Callable[[], bool]) -> bool:
        """Wait while others run the last trials; True: there is something to begin.

        Args:
            stopped: whether to wait no more.
        """
        while not stopped():
            self._part.in_turn(self._look)
            self._part.beat()
            if self.done >= self.total:
                return False
            if self._pages.numbers(TrialState.WAITING) or len(self._trials) < self.total:
                self._asked_in_vain = 0.0
                return True
            if not self._said_waiting:
                running = len(self._pages.numbers(TrialState.RUNNING))
                self._announce.say(f"waiting for {counted(running, 'trial')} of other supervisors")
                self._said_waiting = True
            time.sleep(_FRESH)
        return False

    def _lose_running(self, kind: str, message: str) -> None:
        """Put back what this process runs, or what a dead one ran."""
        for number in self._orphans() if kind == _DIED.kind else list(self._mine):
            self._lose(self._trials[number], Failure(kind=kind, message=message))
            self._mine.pop(number, None)

    def _look(self) -> None:
        """Take in what the others have done, and put back the trials of those who are gone."""
        self._looked = time.monotonic()
        over = self.done
        for trial in self.study.get_trials(deepcopy=False):
            known = self._trials.get(trial.number)
            if known is not None and known.state.is_finished():
                continue
            if trial.number in self._mine:
                if self._is_mine(trial):
                    continue
                del self._mine[trial.number]
                self._attempts.end(trial.number)
                self._fence.gone.add(self._pages.identity(trial))
                self._announce.say(
                    f"trial {trial.number} was taken over by another supervisor: this one was"
                    " silent for too long"
                )
            taken = self._pages.take(trial)
            if taken.state.is_finished():
                self._ending.ended(taken)
        self._pages.share()
        if self.done > over:
            self._stream.emit(
                "elsewhere",
                None,
                total=self.total,
                done=self.done,
                counts=self._pages.counts(),
                best=self._pages.best(),
            )
        if self._orphans():
            self._part.in_turn(self._put_orphans_back)

    def _put_orphans_back(self) -> None:
        for number in self._orphans():
            trial = self._storage.get_trial(self._pages.identity(self._trials[number]))
            self._trials[number] = trial
            if self._is_orphan(trial, self._others()):
                self._lose(trial, _DIED)

    def _in_turn(self, task: Task, tell: Callable[[], None]) -> None:
        """Tell, in a turn, what became of ``task``, if it is still this process's."""

        def do() -> None:
            self._look()
            if task.number in self._mine:
                tell()

        self._part.in_turn(do)
        self._mine.pop(task.number, None)
        self._out.discard(task.number)

    def _orphans(self) -> list[int]:
        """Return the trials that run, but are of nobody who lives."""
        running = [n for n in self._pages.numbers(TrialState.RUNNING) if n not in self._mine]
        if not running:
            return []
        others = self._others()
        return [number for number in running if self._is_orphan(self._trials[number], others)]

    def _is_orphan(self, trial: FrozenTrial, others: Collection[str]) -> bool:
        return trial.state is TrialState.RUNNING and trial.user_attrs.get(OWNER) not in others

    def _others(self) -> Collection[str]:
        return self._part.living().keys() - {self._part.identity}

    def _is_mine(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        return trial.state is TrialState.RUNNING and owner == self._part.identity


def check_joinable_plan(plan: Plan, part: Part) -> None:
    """Check that ``plan`` can be run by several.

    Raises:
        ConfigError: it is to run in batches or as a population, or it brings known configurations
            that the others do not know.
    """
    if plan.settings.search.order == "batch":
        raise ConfigError(
            "--join: trials in batch order are begun by one supervisor; leave one of --join and"
            " --order batch out"
        )
    if is_population(plan):
        raise ConfigError("--join: a population is led by one supervisor; leave --join out")
    search = plan.settings.search
    if (search.enqueue or search.imports) and len(part.living()) > 1:
        raise ConfigError(
            "--join: others run the study, and what is enqueued or imported comes before it begins;"
            f" leave {'--enqueue' if search.enqueue else '--import'} out"
        )


def check_joined(study: optuna.Study, part: Part, *, total: int, complete: int = 0) -> None:
    """Check that this process's search comes to as many trials as the others'.

    Args:
        study: the study.
        part: this process's.
        total: trials of this process's source; a grid may have fewer than the plan.
        complete: of them that are to run their full budget; 0: no matter how many.

    Raises:
        ConfigError: the others run another number of trials.
    """
    if len(part.living()) < 2:
        return
    budget = study.user_attrs.get("budget", {})
    if (theirs := budget.get("trials_complete", 0)) != complete:
        raise ConfigError(
            f"--join: the others run until {theirs} trials are complete (0: no matter how many),"
            f" but this one would until {complete}; take their search.trials_complete"
        )
    trials = budget.get("trials", total)
    if trials != total:
        raise ConfigError(
            f"--join: the others run {counted(trials, 'trial')} in all, but this one would run"
            f" {total}; take"
            " their search.trials"
        )
