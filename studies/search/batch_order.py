"""Batch order: the same trials, states and values for any number of workers, and after any kill.

``search.order = "batch"`` cuts the trials into batches of ``search.batch``, by number. What a trial
is depends on the study's seed and on *finished* batches alone:

* A batch begins when the one before it is over. The sampler sees the trials of finished batches,
  and those of its own batch that come before it as running ones: their params, nothing else.
* The pruner compares with trials of finished batches only. The first batch runs unpruned.
* Rules that end the search early are looked at between two batches, on the trials by number.
* Threads change the sums of floating-point numbers, so a trial has ``engine.threads`` of them (1 if
  left out), whatever the number of workers.

A limit on seconds or memory ends what it ends on a machine; that alone is not the same everywhere.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from copy import copy, deepcopy
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from studies.core.attributes import SEARCH_ORDER as ORDER
from studies.planning.plan import Plan
from studies.storage.optuna_internals import storage_of, study_id, study_on, trial_id

_STUDY = "study:"
"""Before the name of what a sampler keeps with the study; it is kept with the trial instead."""


class Batches:
    """Which trials may begin, and what they are compared with.

    Args:
        size: trials of a batch, >= 1.
        trials: the book's, by number from 0 without a gap; it may grow, and open ones may change.
    """

    def __init__(self, size: int, trials: Mapping[int, FrozenTrial]) -> None:
        self._size = size
        self._trials = trials
        self._over = 0
        self._taken = 0

    def first(self, number: int) -> int:
        """Return the first trial of the batch of trial ``number``."""
        return number - number % self._size

    def may_begin(self, number: int) -> bool:
        """Whether the batches before that of trial ``number``, a new one, are over."""
        return self._all_over() >= self.first(number)

    def between(self) -> bool:
        """Whether no batch is under way."""
        return len(self._trials) % self._size == 0 and self._all_over() == len(self._trials)

    def ended(self) -> Iterator[FrozenTrial]:
        """Yield by number, each once, the trials that are over and have none before that is not."""
        over = self._all_over()
        while self._taken < over:
            self._taken += 1
            yield self._trials[self._taken - 1]

    def earlier(self, trial: FrozenTrial, peers: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return those of ``peers`` that are of earlier batches, and ``trial`` itself."""
        first = self.first(trial.number)
        return [peer for peer in peers if peer.number < first or peer.number == trial.number]

    def sampler(self, sampler: BaseSampler, number: int) -> BaseSampler:
        """Return ``sampler`` so that it proposes trial ``number`` from finished batches."""
        return _OfFinishedBatches(sampler, self.first(number))

    def _all_over(self) -> int:
        """Return how many trials from 0 on are over."""
        while self._over in self._trials and self._trials[self._over].state.is_finished():
            self._over += 1
        return self._over


def check_order(study: optuna.Study, plan: Plan) -> None:
    """Keep the order of ``plan`` with a new ``study``; compare it with that of an old one.

    Raises:
        ConfigError: the study was begun with another one.
    """
    mine = order_of(plan)
    held = study.user_attrs.get(ORDER)
    if held == mine:
        return
    if study.get_trials(deepcopy=False):
        raise ConfigError(
            f"search.order: study {plan.name!r} was begun with {_said(held)}, but is to go on with"
            f" {_said(mine)}; set it back, or begin anew (--fresh)"
        )
    study.set_user_attr(ORDER, mine)


def order_notes(plan: Plan) -> list[str]:
    """Return what there is to know about a search in batch order, a line each."""
    order = order_of(plan)
    if order is None:
        return []
    found = [
        f"batch order: the same trials for any number of workers; batches of {order['batch']},"
        f" {counted(order['threads'], 'CPU thread')} a trial"
    ]
    if plan.workers > order["batch"]:
        found.append(
            f"batch order: of {counted(plan.workers, 'worker')} {order['batch']} have work at a"
            " time; raise"
            " search.batch"
        )
    settings = plan.settings
    limits = {
        "engine.trial_seconds": settings.engine.trial_seconds,
        "engine.trial_memory_gib": settings.engine.trial_memory_gib,
        "search.stop.seconds": settings.search.stop.seconds,
    }
    if set_ := [name for name, limit in limits.items() if limit]:
        found.append(f"batch order: what {' and '.join(set_)} ends depends on the machine")
    if plan.train.device != "cpu" and not plan.train.deterministic:
        found.append(
            "batch order: on a GPU the last bits of a training may vary from run to run; set"
            " train.deterministic=true"
        )
    return found


def order_of(plan: Plan) -> dict[str, int] | None:
    """Return what must stay the same of a search in batch order; None: another order."""
    search = plan.settings.search
    return {"batch": search.batch, "threads": plan.threads} if search.order == "batch" else None


def _said(order: Mapping[str, int] | None) -> str:
    if order is None:
        return "search.order=async"
    return (
        f"search.order=batch, search.batch={order.get('batch')},"
        f" engine.threads={order.get('threads')}"
    )


class _OfFinishedBatches(BaseSampler):
    """Has a sampler propose one trial from finished batches.

    Args:
        sampler: of that trial.
        first: the first trial of its batch.
    """

    def __init__(self, sampler: BaseSampler, first: int) -> None:
        self._sampler = sampler
        self._first = first
        self._seen: Study | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the sampler."""
        return self._sampler.infer_relative_search_space(self._view(study, trial), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler."""
        return self._sampler.sample_relative(self._view(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Ask the sampler."""
        view = self._view(study, trial)
        return self._sampler.sample_independent(view, trial, param_name, param_distribution)

    def _view(self, study: Study, trial: FrozenTrial) -> Study:
        if self._seen is None:
            past = _Past(study, trial, self._first)
            self._seen = study_on(past, study.study_name)
        return self._seen


class _Past:
    """A study's storage as it was when the batch of ``trial`` began, and ``trial`` was to begin.

    What a sampler keeps with the study (a sequence's position, a generation's parents) is kept with
    the trial that it proposes meanwhile, and is what the trials before it have left: a proposal
    that a kill cut short leaves no trace in the one that is made in its place.
    """

    def __init__(self, study: Study, trial: FrozenTrial, first: int) -> None:
        self._storage = storage_of(study)
        self._study, self._trial = study, trial
        self._kept = dict(self._storage.get_study_system_attrs(study_id(study)))
        self._trials = []
        for other in study.get_trials(deepcopy=False):
            if other.number < trial.number:
                self._kept |= _kept_for_study(other)
            if other.number < first or other.number == trial.number:
                self._trials.append(other)
            elif other.number < trial.number:
                self._trials.append(_as_begun(other))
        self._trials.sort(key=lambda other: other.number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return _copies(trials) if deepcopy else trials

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return dict(self._kept)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._kept[key] = value
        self._storage.set_trial_system_attr(
            trial_id(self._study, self._trial), f"{_STUDY}{key}", value
        )


def _kept_for_study(trial: FrozenTrial) -> dict[str, Any]:
    return {
        key.removeprefix(_STUDY): value
        for key, value in trial.system_attrs.items()
        if key.startswith(_STUDY)
    }


def _as_begun(trial: FrozenTrial) -> FrozenTrial:
    """Return ``trial`` as if it had only just begun, whatever has become of it since."""
    begun = copy(trial)
    begun.state, begun.values = TrialState.RUNNING, None
    begun.intermediate_values, begun.system_attrs = {}, {}
    begun.datetime_complete = None
    return begun


def _copies(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return deepcopy(trials)
