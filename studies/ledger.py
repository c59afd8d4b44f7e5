"""The trial book: ask, report, prune?, tell, reap. The only code that changes a trial's state.

A trial's life in Optuna's states::

    WAITING -> RUNNING -> COMPLETE   it ran its full budget
       ^          |-----> PRUNED     the pruner stopped it
       |          |-----> FAIL       with `failure`: kind, message, traceback
       +----------+                  its worker or its supervisor died: run again, same number,
                                     params and seed

Every trial begins as WAITING, with its seed, in one write. So there is one way to begin one,
whether it is new, lost or interrupted, and whoever looks at the database after any kind of death
finds nothing that claims to run.

Reports are decided upon in memory and written a moment later, when the worker has its answer
(``settle``). A trial that is run again gives the same reports again; those that its predecessor
has survived are answered as they were then.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict
from typing import Any, Self

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import UserError
from objectives.base import Outcome, Task
from studies import records
from studies.engines.base import Failure
from studies.events import Listener, Stream
from studies.peers import Peers
from studies.records import TrialRecord
from studies.search.batches import Batches
from studies.search.pruning import FairPruning, Pruning
from studies.search.sources import Source
from studies.search.stopping import STOPPED, Stop, Stopping
from studies.settings import StopSettings
from studies.storages import leases
from studies.storages.leases import Lease
from studies.storages.storage import Storage, one_line_garbage

_NOT_COUNTED = ("Interrupted", "SupervisorDied")
"""Kinds of loss that use up none of a trial's retries."""


class Book:
    """One study's trial book; implements ``Work``. Use it as a context manager.

    Open one with ``open_search`` or ``open_confirm``.

    Args:
        study: the study, already leased to this process.
        storage: the storage of ``study``.
        lease: what ``leases.take`` returned.
        phase: ``search`` or ``confirm``; the events' phase.
        source: gives new trials.
        metric: name of the metric that is the study's value.
        pruning: pruner name and options, and the scientific parameter.
        retries: how often a trial that was lost is begun again.
        stop: when nothing new is begun any more; None: when the source has no more.
        batch: trials of a batch, see ``studies/search/batches.py``; 0: no batches, each trial
            begins as soon as a worker is free.
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
        metric: str,
        pruning: Pruning,
        retries: int,
        stop: StopSettings | None = None,
        batch: int = 0,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.study = study
        self.phase = phase
        self._storage = storage
        self._lease = lease
        self._source = source
        self._metric = metric
        self._retries = retries
        self._stream = Stream(phase, listeners)
        self._unwritten: list[Callable[[], None]] = []
        self._began: dict[int, float] = {}
        self._latest: dict[int, Mapping[str, float]] = {}
        self._spoiled: dict[int, Failure] = {}
        # Copies: a storage may give the trials it keeps. Their parts are replaced, not changed.
        self._trials: dict[int, FrozenTrial] = {
            trial.number: copy(trial) for trial in study.get_trials(deepcopy=False)
        }
        name, options, scientific = pruning
        self._peers = Peers(scientific, self._trials)
        self._pruning = FairPruning(
            name,
            options,
            scientific=scientific,
            direction=study.direction,
            write=self._mark,
        )
        self._batches = Batches(batch, self._trials) if batch else None
        before = self._trials.values() if self._batches is None else self._batches.ended()
        self._stopping = stop and Stopping(
            stop, study.direction, before, by_number=self._batches is not None
        )
        self._stopped: Stop | None = None
        self._stop_kept = Stop.from_attribute(study.user_attrs.get(STOPPED))
        self._check_stop()
        self._stream.emit(
            "phase",
            None,
            name=phase,
            total=self.total,
            done=self.done,
            counts={
                kind: len(self._in_state(state))
                for kind, state in (
                    ("complete", TrialState.COMPLETE),
                    ("pruned", TrialState.PRUNED),
                    ("failed", TrialState.FAIL),
                )
            },
            best=self._best(),
        )
        self._reap()
        if self._stopped is not None:
            self._stream.emit("message", None, text=str(self._stopped), level="info")

    @property
    def total(self) -> int:
        """Trials that the study comes to, over all resumes; those begun, if it was stopped."""
        begun = len(self._trials)
        return begun if self._stopped is not None else max(self._source.total, begun)

    @property
    def stopped(self) -> Stop | None:
        """Why nothing new is begun, though the source has more; None: it is not so."""
        return self._stopped

    @property
    def done(self) -> int:
        """Trials that are over: complete, pruned or failed."""
        return sum(trial.state.is_finished() for trial in self._trials.values())

    def records(self) -> list[TrialRecord]:
        """Return all trials by number."""
        self.settle()
        with one_line_garbage(self._storage.url):
            return records.read_trials(self.study)

    def set_attribute(self, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with the study."""
        self.study.set_user_attr(name, value)

    def ask(self) -> Task | None:
        """Begin the next trial: one that waits to be run again, else a new one."""
        self.settle()
        number = min(self._in_state(TrialState.WAITING), default=None)
        if number is None:
            number = len(self._trials)
            if self._batches is not None and not self._batches.may_begin(number):
                return None
            request = self._source.request(number)
            if request is None or self._stop():
                return None
            attributes = {**request.attributes, records.SEED: request.seed, records.ATTEMPT: 0}
            self.study.enqueue_trial(dict(request.params), user_attrs=attributes)
        self.study.sampler = self._source.sampler(number)
        if self._batches is not None:
            self.study.sampler = self._batches.sampler(self.study.sampler, number)
            if self._batches.begins(number):
                self._pruning.forget()
        trial = self.study.ask()
        if trial.number != number:
            raise UserError(
                f"study {self.study.study_name!r} was changed by another program: "
                f"trial {trial.number} came instead of trial {number}; see that nothing else"
                " writes to it, and run again"
            )
        params = self._source.suggest(trial)
        frozen = self._storage.get_trial(trial._trial_id)
        self._trials[number] = frozen
        self._began[number] = time.monotonic()
        return Task(
            number=number,
            params=params,
            seed=frozen.user_attrs[records.SEED],
            attempt=frozen.user_attrs.get(records.ATTEMPT, 0),
        )

    def _stop(self) -> bool:
        """Whether a limit ends the search; said and kept with the study when it does."""
        if self._stopped is None:
            self._check_stop()
            if self._stopped is not None:
                self._stream.emit("message", None, text=str(self._stopped), level="info")
        if self._stopped != self._stop_kept:
            kept = None if self._stopped is None else self._stopped.to_attribute()
            self.set_attribute(STOPPED, kept)
            self._stop_kept = self._stopped
        return self._stopped is not None

    def _check_stop(self) -> None:
        if self._batches is not None and not self._batches.between():
            return
        if self._stopping and len(self._trials) < self._source.total:
            self._stopped = self._stopping.reason(self._trials.values(), self._source.total)

    def started(self, task: Task, pid: int) -> None:
        """Note that a worker has begun ``task``."""
        self._began[task.number] = time.monotonic()
        self._stream.emit(
            "start",
            task.number,
            params=dict(task.params),
            seed=task.seed,
            attempt=task.attempt,
            pid=pid,
        )

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        """Decide whether ``task`` goes on; the report itself is written by ``settle``."""
        trial = self._trials[task.number]
        self._latest[task.number] = dict(metrics)
        self._put_off(
            lambda: self._stream.emit("report", task.number, step=step, metrics=dict(metrics))
        )
        if task.number in self._spoiled:
            return False
        value = metrics.get(self._metric, None)
        failure = self._problem(value, f"at step {step}")
        if value is None or failure is not None:
            self._spoiled[task.number] = failure or self._missing(f"at step {step}")
            return False
        survived = trial.last_step is not None and step < trial.last_step
        known = trial.intermediate_values.get(step)
        if known != value:
            trial.intermediate_values = {**trial.intermediate_values, step: float(value)}
            identity = trial._trial_id
            self._put_off(
                lambda: self._storage.set_trial_intermediate_value(identity, step, float(value))
            )
        if survived or not self._source.may_prune(task.number):
            return True
        peers = self._peers.of(trial)
        if self._batches is not None:
            peers = self._batches.earlier(trial, peers)
        return not self._pruning.should_prune(trial, peers)

    def settle(self) -> None:
        """Write what ``report`` put off. The engine calls it when the worker has its answer."""
        unwritten, self._unwritten = self._unwritten, []
        for write in unwritten:
            write()

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Tell COMPLETE or PRUNED; FAIL when the result is no finite number."""
        self.settle()
        value = outcome.metrics.get(self._metric)
        failure = self._spoiled.get(task.number) or self._unfit(outcome)
        if not outcome.stopped:
            failure = failure or self._problem(value, "at the end")
            if value is None:
                failure = failure or self._missing("at the end")
        if failure is not None:
            self.fail(task, failure)
            return
        seconds = self._over(task, outcome.metrics, outcome.attributes)
        trial = self._trials[task.number]
        metrics = dict(outcome.metrics)
        if outcome.stopped:
            self._tell(trial, TrialState.PRUNED)
            last = trial.last_step
            kept = None if last is None else trial.intermediate_values[last]
            self._stream.emit(
                "pruned",
                task.number,
                value=kept,
                step=last,
                seconds=seconds,
                attributes=dict(outcome.attributes),
            )
        else:
            self._tell(trial, TrialState.COMPLETE, value)
            self._stream.emit(
                "complete",
                task.number,
                value=value,
                metrics=metrics,
                seconds=seconds,
                attributes=dict(outcome.attributes),
            )

    def fail(self, task: Task, failure: Failure) -> None:
        """Tell FAIL, with the reason."""
        self.settle()
        attributes = {records.FAILURE: asdict(failure)}
        seconds = self._over(task, self._latest.get(task.number, {}), attributes)
        self._tell(self._trials[task.number], TrialState.FAIL)
        self._stream.emit(
            "failed", task.number, kind=failure.kind, message=failure.message, seconds=seconds
        )

    def lose(self, task: Task, failure: Failure) -> None:
        """Put ``task`` back to be run again, or tell FAIL when that was done too often.

        What is not the trial's doing, an interruption by the user (``Interrupted``) or the death of
        the supervisor (``SupervisorDied``), does not count.
        """
        self.settle()
        self._lose(self._trials[task.number], failure)

    def close(self) -> None:
        """Put back what still runs, and give the lease up."""
        try:
            self.settle()
            for number in self._in_state(TrialState.RUNNING):
                self._lose(
                    self._trials[number],
                    Failure(kind="Interrupted", message="the run was stopped"),
                )
        finally:
            leases.release(self.study, self._lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _reap(self) -> None:
        """Put trials back whose supervisor died: this process alone holds the lease."""
        for number in self._in_state(TrialState.RUNNING):
            self._lose(
                self._trials[number],
                Failure(kind="SupervisorDied", message="its supervisor died"),
            )

    def _lose(self, trial: FrozenTrial, failure: Failure) -> None:
        number = trial.number
        attempt = int(trial.user_attrs.get(records.ATTEMPT, 0))
        if failure.kind not in _NOT_COUNTED:
            attempt += 1
            if attempt > self._retries:
                times = "once" if attempt == 1 else f"{attempt} times"
                task = Task(number=number, params=trial.params, seed=0)
                message = f"lost {times}, given up; last: {failure.message}"
                given_up = Failure(kind=failure.kind, message=message, traceback=failure.traceback)
                self.fail(task, given_up)
                return
            self._attribute(trial, records.ATTEMPT, attempt)
        self._spoiled.pop(number, None)
        self._latest.pop(number, None)
        self._began.pop(number, None)
        self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        trial.state = TrialState.WAITING
        self._stream.emit(
            "lost", number, kind=failure.kind, message=failure.message, attempt=attempt
        )

    def _over(
        self, task: Task, metrics: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> float | None:
        """Write what is kept with a trial that is over; return its seconds."""
        trial = self._trials[task.number]
        began = self._began.pop(task.number, None)
        seconds = None if began is None else time.monotonic() - began
        for name, value in attributes.items():
            if name not in records.RESERVED or name == records.FAILURE:
                self._attribute(trial, name, value)
        if metrics:
            self._attribute(trial, records.METRICS, records.to_json(metrics))
        if seconds is not None:
            self._attribute(trial, records.SECONDS, round(seconds, 4))
        self._latest.pop(task.number, None)
        self._spoiled.pop(task.number, None)
        return seconds

    def _attribute(self, trial: FrozenTrial, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(trial._trial_id, name, value)
        trial.user_attrs = {**trial.user_attrs, name: value}

    def _mark(self, number: int, key: str, value: Any) -> None:
        identity = self._trials[number]._trial_id
        self._put_off(lambda: self._storage.set_trial_system_attr(identity, key, value))

    def _tell(self, trial: FrozenTrial, state: TrialState, value: float | None = None) -> None:
        self.study.tell(trial.number, value, state=state)
        trial.state = state
        if value is not None:
            trial.value = float(value)
        if self._stopping:
            for ended in [trial] if self._batches is None else self._batches.ended():
                self._stopping.ended(ended)

    def _put_off(self, write: Callable[[], None]) -> None:
        self._unwritten.append(write)

    def _best(self) -> dict[str, Any] | None:
        complete = [self._trials[number] for number in self._in_state(TrialState.COMPLETE)]
        if not complete:
            return None
        pick = max if self.study.direction is StudyDirection.MAXIMIZE else min
        trial = pick(complete, key=lambda trial: trial.value or 0.0)
        return {"value": trial.value, "trial": trial.number, "params": dict(trial.params)}

    def _in_state(self, state: TrialState) -> list[int]:
        return [number for number, trial in self._trials.items() if trial.state is state]

    def _problem(self, value: float | None, when: str) -> Failure | None:
        if value is None or math.isfinite(value):
            return None
        return Failure(kind="NonFiniteLoss", message=f"{self._metric} is {value} {when}")

    def _missing(self, when: str) -> Failure:
        return Failure(kind="MissingMetric", message=f"the objective gave no {self._metric} {when}")

    def _unfit(self, outcome: Outcome) -> Failure | None:
        """Return a failure when an attribute cannot be stored."""
        for name, value in outcome.attributes.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                message = f"attribute {name!r} is no JSON value: {error}"
                return Failure(kind="BadOutcome", message=message)
        return None
