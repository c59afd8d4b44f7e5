"""The answer to a report: whether its trial trains on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from objectives.base import Task
from studies.core.events import Stream
from studies.core.goals import Goals
from studies.ledger import outcomes
from studies.ledger.outcomes import RunningAttempts
from studies.ledger.pauses import Pauses
from studies.ledger.trial_table import TrialTable
from studies.search.pruning import PruningPeers
from studies.search.sources import Source


@dataclass(frozen=True)
class Answers:
    """Answers the reports of a book's trials, by ``peers`` (the pruner) or by ``pauses``."""

    table: TrialTable
    attempts: RunningAttempts
    goals: Goals
    source: Source
    peers: PruningPeers
    pauses: Pauses
    stream: Stream

    def continues(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Take in a report of ``task``; return whether it trains on."""
        trial, told = self.table.trials[task.number], dict(metrics)
        self.attempts.latest[task.number] = told
        self.table.put_off(lambda: self.stream.emit("report", task.number, step=step, metrics=told))
        if task.number in self.attempts.failures:
            return False
        value = metrics.get(self.goals.metric)
        if value is None or not math.isfinite(value):
            failure = outcomes.problem(self.goals.metric, value, f"at step {step}")
            self.attempts.failures[task.number] = failure
            return False
        survived = trial.last_step is not None and step < trial.last_step
        # Decided in memory, and written by ``flush``: a worker waits for the answer.
        self.table.report(trial, step, float(value))
        # A trial that is run again gives the same reports again. Those that it survived before are
        # answered in the same way.
        if survived:
            return True
        if self.pauses.on:
            return self.pauses.trains_on(trial, step)
        # A trial that is exempt from pruning is judged as well: it is in the rungs it reaches.
        beaten = self.peers.beat(trial, self.attempts.latest)
        return not beaten or not self.source.may_prune(task.number)
