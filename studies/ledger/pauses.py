"""The pauses of a book's trials: which trial pauses, which continues, and how all of them end."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import METRICS, PAUSE
from studies.core.pauses import Pause, paused
from studies.ledger.order import Order
from studies.ledger.outcomes import RunningAttempts, TrialEvents
from studies.ledger.trial_table import TrialTable
from studies.search.pausing import Pausing


class Pauses:
    """Pauses and continues the trials of ``table``.

    A paused trial is RUNNING for Optuna, and its attribute ``pause`` says where it is. So a kill at
    any time leaves either that, or a lost trial whose training resumes from the same state.

    Args:
        rule: which trials pause and continue; None: none does.
    """

    def __init__(
        self,
        rule: Pausing | None,
        table: TrialTable,
        order: Order,
        attempts: RunningAttempts,
        events: TrialEvents,
    ) -> None:
        self._rule = rule
        self.on = rule is not None
        """Whether trials pause at all."""
        self._table = table
        self._order = order
        self._attempts = attempts
        self._events = events

    def numbers(self) -> list[int]:
        """Return the numbers of the trials that are paused now."""
        return [n for n in self._table.numbers(TrialState.RUNNING) if self._at(n) is not None]

    def running(self) -> list[int]:
        """Return the numbers of the trials that run, so are not paused.

        If no trial pauses any more, as the pruner is another one now, paused ones are to run, too.
        """
        running = self._table.numbers(TrialState.RUNNING)
        return [n for n in running if not self.on or self._at(n) is None]

    def trains_on(self, trial: FrozenTrial, step: int) -> bool:
        """Whether ``trial`` trains on after report ``step``; else it is to be paused."""
        rule, trials = self._rule, self._table.trials
        if rule is None or step not in rule.rungs or step < rule.ends_at(trial, trials):
            return True
        if rule.continues(trial, trials.values()):
            # Not paused at all: its worker would only put the state away to fetch it again.
            until = rule.after(step)
            pause = Pause(at=step, until=until, seconds=self._seconds_before(trial))
            self._table.put_off_attribute(trial, PAUSE, pause.to_attribute())
            return True
        self._attempts.pausing.add(trial.number)
        return False

    def pauses(self, number: int) -> bool:
        """Whether trial ``number``, whose attempt has ended, was told to pause."""
        return number in self._attempts.pausing

    def pause(
        self, trial: FrozenTrial, metrics: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> None:
        """Keep ``trial`` as paused at its last report."""
        assert trial.last_step is not None
        seconds = self.seconds(trial)
        pause = Pause(at=trial.last_step, seconds=round(seconds or 0.0, 4))
        more = {PAUSE: pause.to_attribute(), **self._order.paused(trial)}
        # One write: a kill before it leaves a lost trial, which makes the same reports again.
        self._table.keep(trial, metrics, attributes, seconds, more)
        self._attempts.end(trial.number)
        self._events.paused(trial, seconds)

    def next(self) -> int | None:
        """Return the number of the trial that is to continue, or None."""
        return None if self._rule is None else self._rule.next(list(self._table.trials.values()))

    def resume(self, number: int) -> FrozenTrial:
        """Let the paused trial ``number`` continue, and return it."""
        trial, rule = self._table.trials[number], self._rule
        before = paused(trial)
        assert rule is not None
        assert before is not None
        pause = Pause(at=before.at, until=rule.after(before.at), seconds=before.seconds)
        self._table.attributes(trial, {PAUSE: pause.to_attribute(), **self._order.continued(trial)})
        return trial

    def put_back(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the attributes of ``trial`` when it is to be run again."""
        return {} if paused(trial) is None else {PAUSE: None}

    def seconds(self, trial: FrozenTrial) -> float | None:
        """Return the seconds of ``trial``: of the attempt that ends now, and up to its pause."""
        seconds = self._attempts.seconds(trial.number)
        return None if seconds is None else seconds + self._seconds_before(trial)

    def over(self) -> list[FrozenTrial]:
        """Return the paused trials if nothing runs or waits any more: they will not continue."""
        if not self.on or self.running() or self._table.numbers(TrialState.WAITING):
            return []
        return [self._table.trials[number] for number in self.numbers()]

    def _at(self, number: int) -> Pause | None:
        return paused(self._table.trials[number])

    def _seconds_before(self, trial: FrozenTrial) -> float:
        pause = Pause.of(trial.user_attrs)
        return 0.0 if pause is None else pause.seconds


def last_metrics(trial: FrozenTrial) -> dict[str, float]:
    """Return the metrics that a paused trial has kept."""
    return {name: value for name, value in trial.user_attrs.get(METRICS, {}).items() if value}
