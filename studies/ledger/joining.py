"""A trial book that several supervisors write, on one or more machines (``--join``).

Each supervisor runs trials of its own, which carry its identity. Trials start, end and are reset
in turns, after a look at what the other supervisors have done. So the number of trials is exactly
as planned, also when a supervisor dies: the next one that looks resets its trials.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from objectives.base import Outcome, Task
from studies.core.attributes import OWNER, STOPPED
from studies.core.trials import INTERRUPTED, SUPERVISOR_DIED, Failure
from studies.ledger.trial_book import TrialBook
from studies.planning.settings import Settings
from studies.search.pruners import PRUNERS
from studies.search.stopping import Stop
from studies.storage.membership import Member, WriteGuard
from studies.storage.open import Storage

_FRESH = 1.0
"""Seconds after which the storage is looked at again."""


class JoinedBook(TrialBook):
    """A book that is written by this process, the ``member``, and by others."""

    def __init__(
        self, study: optuna.Study, storage: Storage, *, member: Member, **options: Any
    ) -> None:
        self._member = member
        self._mine: dict[int, int] = {}
        self._out: set[int] = set()
        """Trials that were started here and have not come back, also those taken away."""
        self._guard = WriteGuard(storage)
        self._looked = self._asked_in_vain = 0.0
        self._said_waiting = False
        self._choice: str | None = options["pruning"][2]
        guarded = cast(Storage, self._guard)
        member.in_turn(lambda: TrialBook.__init__(self, study, guarded, ordered=False, **options))

    def ask(self) -> Task | None:
        """Start the next trial that no other supervisor runs."""
        # A turn locks the others out, so an idle worker does not ask all the time.
        now = time.monotonic()
        if now - self._asked_in_vain < _FRESH:
            return None
        task = self._member.in_turn(self._begin)
        if task is None:
            self._asked_in_vain = now
        return task

    def _begin(self) -> Task | None:
        self._look()
        self._end.adopt(Stop.from_attribute(self.study.user_attrs.get(STOPPED)))
        # The engine knows attempts by number: an earlier one that still runs here must come back
        # first.
        waiting = min(self._table.numbers(TrialState.WAITING), default=None)
        task = None if waiting in self._out else super().ask()
        if task is not None:
            trial = self._trials[task.number]
            self._guard.gone.discard(self._table.identity(trial))
            self._table.attribute(trial, OWNER, self._member.identity)
            # Not before its owner is stored: until then the others would put it back.
            self._out.add(task.number)
            self._mine[task.number] = self._table.identity(trial)
        return task

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Decide whether ``task`` continues; it does not if it was taken away."""
        return task.number in self._mine and super().report(task, step, metrics)

    def flush(self, *, now: bool = True) -> float:
        """Write what ``report`` put off, after a look at the other supervisors' trials."""
        self._member.beat()
        if time.monotonic() - self._looked >= _FRESH:
            self._look()
        return super().flush(now=now)

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Tell how ``task`` ended, if it is still this process's."""
        self._in_turn(task, lambda: TrialBook.finish(self, task, outcome))

    def fail(self, task: Task, failure: Failure) -> None:
        """Tell FAIL, if ``task`` is still this process's."""
        self._in_turn(task, lambda: TrialBook.fail(self, task, failure))

    def lose(self, task: Task, failure: Failure) -> None:
        """Put ``task`` back, if it is still this process's."""
        self._in_turn(task, lambda: TrialBook.lose(self, task, failure))
        self._asked_in_vain = 0.0

    def close(self) -> None:
        """Reset the trials that this process still runs, and leave the study."""
        try:
            self._member.in_turn(self._put_mine_back)
        finally:
            self._member.leave()

    def _put_mine_back(self) -> None:
        self._look()
        self.flush()
        self._lose_running(INTERRUPTED)

    def wait_for_others(self, stopped: Callable[[], bool]) -> bool:
        """Wait while others run the last trials; return whether a trial can start."""
        while not stopped():
            self._member.in_turn(self._look)
            self._member.beat()
            if self.done >= self.total:
                return False
            if self._table.numbers(TrialState.WAITING) or len(self._trials) < self.total:
                self._asked_in_vain = 0.0
                return True
            if not self._said_waiting:
                running = len(self._table.numbers(TrialState.RUNNING))
                self._events.say(f"waiting for {counted(running, 'trial')} of other supervisors")
                self._said_waiting = True
            time.sleep(_FRESH)
        return False

    def _lose_running(self, failure: Failure) -> None:
        """Reset the trials that this process runs, or that a dead supervisor ran."""
        for number in self._orphans() if failure == SUPERVISOR_DIED else list(self._mine):
            self._lose(self._trials[number], failure)
            self._mine.pop(number, None)

    def _look(self) -> None:
        """Take in what the others have done, and reset the trials of dead supervisors."""
        self._looked = time.monotonic()
        over = self.done
        for trial in self.study.get_trials(deepcopy=False):
            known = self._trials.get(trial.number)
            if known is not None and known.state.is_finished():
                continue
            if trial.number in self._mine:
                if self._is_mine(trial):
                    continue
                # Believed dead while it lived, this process drops what its trial gives.
                del self._mine[trial.number]
                self._attempts.end(trial.number)
                self._guard.gone.add(self._table.identity(trial))
                self._events.say(
                    f"trial {trial.number} was taken over by another supervisor: this one was"
                    " silent for too long"
                )
            # Pruner and sampler see the others' trials only now, up to a second late.
            taken = self._table.take(trial)
            if taken.state.is_finished():
                self._end.ended(taken)
        self._table.share()
        if self.done > over:
            self._stream.emit(
                "elsewhere",
                None,
                total=self.total,
                done=self.done,
                counts=self._table.counts(),
                **self._table.standing(self.phase, self._choice),
            )
        if self._orphans():
            self._member.in_turn(self._put_orphans_back)

    def _put_orphans_back(self) -> None:
        for number in self._orphans():
            # Read again, in this turn: its supervisor may have ended it since the last look.
            trial = self._storage.get_trial(self._table.identity(self._trials[number]))
            self._trials[number] = trial
            if self._is_orphan(trial, self._others()):
                self._lose(trial, SUPERVISOR_DIED)

    def _in_turn(self, task: Task, tell: Callable[[], None]) -> None:
        """Call ``tell`` in a turn, if ``task`` is still this process's."""

        def do() -> None:
            self._look()
            if task.number in self._mine:
                tell()

        self._member.in_turn(do)
        self._mine.pop(task.number, None)
        self._out.discard(task.number)

    def _orphans(self) -> list[int]:
        """Return the numbers of running trials that do not belong to a living supervisor."""
        running = [n for n in self._table.numbers(TrialState.RUNNING) if n not in self._mine]
        if not running:
            return []
        others = self._others()
        return [number for number in running if self._is_orphan(self._trials[number], others)]

    def _is_orphan(self, trial: FrozenTrial, others: Collection[str]) -> bool:
        return trial.state is TrialState.RUNNING and trial.user_attrs.get(OWNER) not in others

    def _others(self) -> Collection[str]:
        return self._member.living().keys() - {self._member.identity}

    def _is_mine(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        return trial.state is TrialState.RUNNING and owner == self._member.identity


def check_joinable(settings: Settings, member: Member) -> None:
    """Check that several supervisors can run a study with ``settings``.

    Raises:
        ConfigError: if it runs in batches or as a population, or has configurations that the other
            supervisors do not know.
    """
    search = settings.search
    if search.order == "batch":
        raise ConfigError(
            "--join: one supervisor starts trials in batch order; leave out one of --join and"
            " --order batch"
        )
    if PRUNERS[search.pruner].pauses:
        raise ConfigError(
            f"--join: the paused trials of {search.pruner} are continued by one supervisor; leave"
            " out one of --join and the pruner"
        )
    if settings.population:
        raise ConfigError("--join: a population is led by one supervisor; leave --join out")
    if (search.enqueue or search.imports) and len(member.living()) > 1:
        raise ConfigError(
            "--join: others run the study, and what is enqueued or imported comes before it begins;"
            f" leave {'--enqueue' if search.enqueue else '--import'} out"
        )


def check_joined(study: optuna.Study, member: Member, *, total: int, complete: int = 0) -> None:
    """Check that this process's search has as many trials as the others'.

    Args:
        total: trials of this process's source; a grid may have fewer than the plan.
        complete: number of trials that are to run their full budget; 0: that does not matter.

    Raises:
        ConfigError: if the others run another number of trials.
    """
    # A supervisor alone may change the budget: it is kept when its search opens.
    if len(member.living()) < 2:
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
