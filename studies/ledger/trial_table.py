"""A study's trials in memory and in the storage, changed together.

What a worker waits for is decided in memory and written a moment later, by ``flush``.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import UserError
from studies.core.attributes import FAILURE, METRICS, RESERVED, SECONDS, SEED
from studies.core.trials import Failure
from studies.ledger.leaderboard import best_result, leaderboard, result_of
from studies.ledger.proposing import propose
from studies.ledger.write_queue import WriteQueue
from studies.storage.open import Storage
from studies.storage.optuna_internals import (
    drafts_known,
    identify,
    storage_of,
    study_id,
    trial_id,
)
from studies.storage.records import state_of, to_json

_ENDS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class TrialTable:
    """The trials of one study, which is leased to this process.

    Attributes:
        trials: by number.
        direction: of the first objective.

    Raises:
        UserError: if another program has added or deleted a trial.
    """

    def __init__(self, study: optuna.Study, storage: Storage) -> None:
        self._study = study
        self._storage = storage
        self._queue = WriteQueue(storage)
        self._ended: list[int] = []
        """Trials that ended here and that Optuna has not read since."""
        # A trial that runs reports often: its identity is looked up once.
        self._identities: dict[int, int] = {}
        self.direction: StudyDirection = study.directions[0]
        self.trials: dict[int, FrozenTrial] = {}
        for trial in study.get_trials(deepcopy=False):
            self.take(trial)
        missing = sorted(set(range(len(self.trials))) - self.trials.keys())
        if missing:
            raise UserError(
                f"study {study.study_name!r} was changed by another program, which deleted trial"
                f" {missing[0]}; put a sound copy of the storage in its place, or start fresh"
                " (--fresh)"
            )

    def take(self, trial: FrozenTrial) -> FrozenTrial:
        """Take in ``trial`` as the storage has it; return it as it stands in the table."""
        self._check_ours(trial)
        # An unfinished trial is changed here. Its parts are replaced, so a shallow copy will do.
        taken = self.trials[trial.number] = trial if trial.state.is_finished() else copy(trial)
        return taken

    def begin(
        self,
        number: int,
        *,
        required: Mapping[str, Any],
        attributes: Mapping[str, Any],
        suggest: Callable[[optuna.Trial], dict[str, Any]],
    ) -> tuple[FrozenTrial, dict[str, Any]]:
        """Start a new trial in one write; return it and its params. See ``propose``."""
        if not drafts_known():
            # One write as well: after a kill the trial waits, with its seed.
            self._study.enqueue_trial(dict(required), user_attrs=dict(attributes))
            asked = self.ask(number)
            params = suggest(asked)
            return self.add(asked), params
        trial, params = propose(
            self._study,
            number,
            trials=[self.trials[n] for n in sorted(self.trials)],
            required=required,
            attributes=attributes,
            suggest=suggest,
        )
        identify(trial, self._storage.create_new_trial(study_id(self._study), trial))
        came = self._storage.get_trial_number_from_id(self.identity(trial))
        if came != number:
            self.put_back(trial, {})
            raise self._changed(came, number)
        self.trials[number] = trial
        return trial, params

    def ask(self, number: int) -> optuna.Trial:
        """Start the first waiting trial again, which is trial ``number``."""
        trial = self._study.ask()
        if trial.number != number:
            raise self._changed(trial.number, number)
        self.share()
        return trial

    def share(self) -> None:
        """Replace trials that ended here by Optuna's objects, so that each is in memory once."""
        # Optuna has just read the study, and holds objects of its own.
        storage = storage_of(self._study)
        for number in self._ended:
            self.trials[number] = storage.get_trial(self.identity(self.trials[number]))
        self._ended.clear()

    def add(self, trial: optuna.Trial) -> FrozenTrial:
        """Take in a trial that ``ask`` returned, as it stands in the storage now."""
        storage, study = self._storage, study_id(self._study)
        identity = storage.get_trial_id_from_study_id_trial_number(study, trial.number)
        frozen = storage.get_trial(identity)
        self._check_ours(frozen)
        self.trials[trial.number] = frozen
        return frozen

    def identity(self, trial: FrozenTrial) -> int:
        """Return the identity of ``trial`` in the storage."""
        if trial.number not in self._identities:
            self._identities[trial.number] = trial_id(self._study, trial)
        return self._identities[trial.number]

    def numbers(self, state: TrialState) -> list[int]:
        """Return the numbers of the trials in ``state``."""
        return [number for number, trial in self.trials.items() if trial.state is state]

    def counts(self) -> dict[str, int]:
        """Return the numbers of complete, pruned and failed trials."""
        return {state_of(state).word: len(self.numbers(state)) for state in _ENDS}

    def results(self) -> list[dict[str, Any]]:
        """Return value (of the first objective), number and params of each feasible trial."""
        return list(filter(None, map(result_of, self.trials.values())))

    def best(self) -> dict[str, Any] | None:
        """Return the best result in the first objective, None if there is no result."""
        return best_result(self.results(), self.direction)

    def standing(self, phase: str, choice: str | None) -> dict[str, Any]:
        """Return what the study has found so far, as facts of the event of its ``phase``.

        ``choice``: the parameter whose choices are compared; "" or None: none.
        """
        if phase == "confirm":
            return {"confirmed": self.results()}
        return {"best": self.best(), **leaderboard(self.trials.values(), choice, self.direction)}

    def put_off(self, write: Callable[[], None]) -> None:
        """Have ``flush`` call ``write``, after all that was put off before."""
        self._queue.add(write)

    def flush(self, *, now: bool = True) -> float:
        """Write what was put off; see ``WriteQueue.flush``."""
        return self._queue.flush(now=now)

    def report(self, trial: FrozenTrial, step: int, value: float) -> None:
        """Take in a report of the first objective; ``flush`` writes it."""
        if trial.intermediate_values.get(step) == value:
            return
        # A new dict: the object may be shared with Optuna's cache.
        trial.intermediate_values = {**trial.intermediate_values, step: value}
        self._queue.report(self.identity(trial), step, value)

    def mark(self, number: int, key: str, value: Any) -> None:
        """Keep a pruner's own mark with trial ``number``; ``flush`` writes it."""
        identity = self.identity(self.trials[number])
        self.put_off(lambda: self._storage.set_trial_system_attr(identity, key, value))

    def put_off_attribute(self, trial: FrozenTrial, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with ``trial``; ``flush`` writes it."""
        identity = self.identity(trial)
        trial.user_attrs = {**trial.user_attrs, name: value}
        self.put_off(lambda: self._storage.set_trial_user_attrs(identity, {name: value}))

    def attribute(self, trial: FrozenTrial, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with ``trial``."""
        self.attributes(trial, {name: value})

    def attributes(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        """Keep JSON values with ``trial``, in one write."""
        self._storage.set_trial_user_attrs(self.identity(trial), attributes)
        trial.user_attrs = {**trial.user_attrs, **self._held(attributes)}

    def _held(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        held = self._storage.held
        return {n: v for n, v in attributes.items() if held is None or n in held}

    def keep(
        self,
        trial: FrozenTrial,
        metrics: Mapping[str, float],
        left: Mapping[str, Any] | Failure,
        seconds: float | None,
        more: Mapping[str, Any],
    ) -> None:
        """Keep the facts of a trial that is about to end, in one write.

        Args:
            metrics: the last ones.
            left: the objective's JSON values, less reserved names; or why there is no result.
            seconds: duration of the attempt, None if it is not known.
            more: JSON values of the book's own.
        """
        if isinstance(left, Failure):
            kept: dict[str, Any] = {FAILURE: asdict(left)}
        else:
            kept = {name: value for name, value in left.items() if name not in RESERVED}
            if FAILURE in trial.user_attrs:  # of an attempt whose supervisor died as it failed
                kept[FAILURE] = None
        if metrics:
            kept[METRICS] = to_json(metrics)
        if seconds is not None:
            kept[SECONDS] = round(seconds, 4)
        self.attributes(trial, {**kept, **more})

    def constrain(self, trial: FrozenTrial, excesses: Mapping[str, float]) -> None:
        """Keep how far ``trial`` is above its limits where Optuna's samplers look for it."""
        probe = copy(trial)
        probe.system_attrs = {}  # a trial that is run again may have some already
        for name, excess in excesses.items():
            probe.set_constraint(name, excess)
        for key, value in probe.system_attrs.items():
            self._storage.set_trial_system_attr(self.identity(trial), key, value)
        trial.system_attrs = {**trial.system_attrs, **probe.system_attrs}

    def tell(
        self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None = None
    ) -> None:
        """End ``trial`` in ``state``; COMPLETE has ``values``, one for each objective."""
        told = None if values is None else [float(value) for value in values]
        last = trial.last_step
        if state is TrialState.PRUNED and last is not None and len(self._study.directions) == 1:
            told = [trial.intermediate_values[last]]  # as ``study.tell`` has it
        identity = self.identity(trial)
        self._study.sampler.after_trial(self._study, trial, state, told)
        self._storage.set_trial_state_values(identity, state, told)
        trial.state = state
        if told is not None:
            trial.values = told
        self.trials[trial.number] = self._storage.ended(identity, trial)
        self._ended.append(trial.number)
        self._identities.pop(trial.number, None)

    def put_back(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        """Have ``trial`` wait to be run again, and keep ``attributes`` with it, in one write."""
        self._storage.put_back(self.identity(trial), attributes)
        trial.user_attrs = {**trial.user_attrs, **self._held(attributes)}
        trial.state = TrialState.WAITING

    def _changed(self, came: int, number: int) -> UserError:
        return UserError(
            f"study {self._study.study_name!r} was changed by another program: trial {came} came"
            f" instead of trial {number}; see that nothing else writes to it, and run again"
        )

    def _check_ours(self, trial: FrozenTrial) -> None:
        if SEED not in trial.user_attrs:  # each trial of ours is made with it
            raise UserError(
                f"study {self._study.study_name!r} was changed by another program, which added"
                f" trial {trial.number}: its training is not known; put a sound copy of the storage"
                " in its place, or start fresh (--fresh)"
            )
