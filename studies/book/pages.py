"""The pages of a trial book: a study's trials in memory and in the storage, changed together.

What a worker waits for is decided upon in memory and written a moment later, see ``settle``. What
Optuna has in memory of trials that are over is not held a second time.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import UserError
from studies.book.records import FAILURE, METRICS, RESERVED, SECONDS, SEED, to_json
from studies.engines.base import Failure
from studies.storages.storage import Storage


class Pages:
    """The trials of one study.

    Args:
        study: the study, leased to this process.
        storage: the storage of ``study``.

    Attributes:
        trials: by number.
        direction: of the first objective.
    """

    def __init__(self, study: optuna.Study, storage: Storage) -> None:
        self._study = study
        self._storage = storage
        self._unwritten: list[Callable[[], None]] = []
        self._ended: list[FrozenTrial] = []
        """Trials that ended here and that Optuna has not read since."""
        self.direction: StudyDirection = study.directions[0]
        self.trials: dict[int, FrozenTrial] = {}
        for trial in study.get_trials(deepcopy=False):
            self.take(trial)

    def take(self, trial: FrozenTrial) -> FrozenTrial:
        """Take in ``trial``, one that the storage may keep; return it as it stands in the book.

        Raises:
            UserError: another program put it there.
        """
        self._check_ours(trial)
        # One that is not over is changed here: its parts are replaced, so a copy of it will do.
        taken = self.trials[trial.number] = trial if trial.state.is_finished() else copy(trial)
        return taken

    def ask(self, number: int) -> optuna.Trial:
        """Begin the trial that waits first, which is trial ``number``.

        Raises:
            UserError: it is another one: somebody else writes to the study.
        """
        trial = self._study.ask()
        if trial.number != number:
            raise UserError(
                f"study {self._study.study_name!r} was changed by another program: "
                f"trial {trial.number} came instead of trial {number}; see that nothing else"
                " writes to it, and run again"
            )
        for ended in self._ended:
            _share(ended, self._study._storage.get_trial(ended._trial_id))
        self._ended.clear()
        return trial

    def add(self, trial: optuna.Trial) -> FrozenTrial:
        """Take in a new trial, or one that was put back, as it stands in the storage.

        Raises:
            UserError: another program put it there.
        """
        frozen = self._storage.get_trial(trial._trial_id)
        self._check_ours(frozen)
        self.trials[trial.number] = frozen
        return frozen

    def numbers(self, state: TrialState) -> list[int]:
        """Return the numbers of the trials in ``state``."""
        return [number for number, trial in self.trials.items() if trial.state is state]

    def counts(self) -> dict[str, int]:
        """Return how many trials are complete, pruned and failed."""
        kinds = (
            ("complete", TrialState.COMPLETE),
            ("pruned", TrialState.PRUNED),
            ("failed", TrialState.FAIL),
        )
        return {kind: len(self.numbers(state)) for kind, state in kinds}

    def best(self) -> dict[str, Any] | None:
        """Return value, number and params of the feasible trial that the first objective likes."""
        complete = [self.trials[number] for number in self.numbers(TrialState.COMPLETE)]
        feasible = [t for t in complete if all(v <= 0 for v in t.constraints.values())]
        if not feasible:
            return None
        pick = max if self.direction is StudyDirection.MAXIMIZE else min
        trial = pick(feasible, key=lambda trial: trial.values[0])
        return {"value": trial.values[0], "trial": trial.number, "params": dict(trial.params)}

    def metrics(self, trial: FrozenTrial) -> Mapping[str, float]:
        """Return the metrics that are kept with a trial that is over; of another one none."""
        kept: Mapping[str, float | None] = trial.user_attrs.get(METRICS, {})
        return {name: value for name, value in kept.items() if value is not None}

    def put_off(self, write: Callable[[], None]) -> None:
        """Have ``settle`` call ``write``, after all that was put off before."""
        self._unwritten.append(write)

    def settle(self) -> None:
        """Write what was put off."""
        while self._unwritten:
            self._unwritten[0]()
            del self._unwritten[0]  # not before: what could not be written is written later

    def report(self, trial: FrozenTrial, step: int, value: float) -> None:
        """Take in a report of the first objective; it is written by ``settle``."""
        if trial.intermediate_values.get(step) == value:
            return
        trial.intermediate_values = {**trial.intermediate_values, step: value}
        identity = trial._trial_id
        self.put_off(lambda: self._storage.set_trial_intermediate_value(identity, step, value))

    def mark(self, number: int, key: str, value: Any) -> None:
        """Store a pruner's own mark with trial ``number``; it is written by ``settle``."""
        identity = self.trials[number]._trial_id
        self.put_off(lambda: self._storage.set_trial_system_attr(identity, key, value))

    def attribute(self, trial: FrozenTrial, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with ``trial``."""
        self._attributes(trial, {name: value})

    def _attributes(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        self._storage.set_trial_user_attrs(trial._trial_id, attributes)
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
    ) -> None:
        """Keep with a trial that is over what it came to; names that are the book's are left out.

        Args:
            trial: of the book.
            metrics: the last ones.
            left: JSON values that the objective left, or why it has no result.
            seconds: that it took, if they are known.
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
        self._attributes(trial, kept)

    def constrain(self, trial: FrozenTrial, excesses: Mapping[str, float]) -> None:
        """Keep how far ``trial`` is above its limits where Optuna's samplers look for it."""
        probe = copy(trial)
        probe.system_attrs = {}  # a trial that is run again may have some already
        for name, excess in excesses.items():
            probe.set_constraint(name, excess)
        for key, value in probe.system_attrs.items():
            self._storage.set_trial_system_attr(trial._trial_id, key, value)
        trial.system_attrs = {**trial.system_attrs, **probe.system_attrs}

    def tell(
        self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None = None
    ) -> None:
        """End ``trial`` in ``state``; COMPLETE has ``values``, one for each objective."""
        if state is TrialState.PRUNED and len(self._study.directions) > 1:
            # study.tell would make the last report the one value of a trial that should have more.
            self._storage.set_trial_state_values(trial._trial_id, state)
        else:
            self._study.tell(trial.number, values, state=state)
        trial.state = state
        if values is not None:
            trial.values = [float(value) for value in values]
        self._ended.append(trial)

    def put_back(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        """Have ``trial`` wait to be run again, and keep ``attributes`` with it, in one write."""
        self._storage.put_back(trial._trial_id, attributes)
        trial.user_attrs = {**trial.user_attrs, **self._held(attributes)}
        trial.state = TrialState.WAITING

    def _check_ours(self, trial: FrozenTrial) -> None:
        if SEED not in trial.user_attrs:  # each of ours is made with it
            raise UserError(
                f"study {self._study.study_name!r} was changed by another program, which put trial"
                f" {trial.number} into it: nobody knows what that was trained with; put a sound"
                " copy of the storage in its place, or begin anew (--fresh)"
            )


def _share(trial: FrozenTrial, kept: FrozenTrial) -> None:
    """Have ``trial``, which is over, consist of the same parts as ``kept``, the storage's own."""
    trial.params, trial.distributions = kept.params, kept.distributions
    trial.user_attrs, trial.system_attrs = kept.user_attrs, kept.system_attrs
    trial.intermediate_values = kept.intermediate_values
