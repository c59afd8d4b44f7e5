"""Batch order: the same trials, states and values for any number of workers, and after any kill.

``search.order = "batch"`` cuts the trials into batches of ``search.batch``, by number. A trial
depends on the study's seed and on *finished* batches alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from studies.core.attributes import SEARCH_ORDER as ORDER
from studies.planning.settings import SearchSettings, Settings
from studies.search.study_views import StudyView, ViewSampler
from studies.storage.optuna_internals import trial_id

OrderSettings = dict[str, int]
"""Trials of a batch and CPU threads of a trial, which decide what trials come out."""

_STUDY = "study:"
"""Prefix of what a sampler keeps with the study, which is kept with the trial instead."""


class Batches:
    """Which trials may start, and what they are compared with.

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
        """Whether the batches before that of trial ``number``, a new one, are finished."""
        # Its sampler sees the trials of finished batches, and the earlier ones of its own batch as
        # running: their params only.
        return self._all_over() >= self.first(number)

    def between(self) -> bool:
        """Whether no batch is running."""
        return len(self._trials) % self._size == 0 and self._all_over() == len(self._trials)

    def ended(self) -> Iterator[FrozenTrial]:
        """Yield each trial once that has finished, as have all before it, by number."""
        over = self._all_over()
        while self._taken < over:
            self._taken += 1
            yield self._trials[self._taken - 1]

    def earlier(self, trial: FrozenTrial, peers: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return the ``peers`` of earlier batches, and ``trial`` itself."""
        # So the first batch runs unpruned.
        first = self.first(trial.number)
        return [peer for peer in peers if peer.number < first or peer.number == trial.number]

    def sampler(self, sampler: BaseSampler, number: int) -> BaseSampler:
        """Return ``sampler`` so that it proposes trial ``number`` from finished batches."""
        return _OfFinishedBatches(sampler, self.first(number))

    def _all_over(self) -> int:
        """Return the number of trials from 0 on that are all finished."""
        # A finished trial stays finished, so the number only grows.
        while self._over in self._trials and self._trials[self._over].state.is_finished():
            self._over += 1
        return self._over


def check_order(study: optuna.Study, mine: OrderSettings | None) -> None:
    """Keep the order ``mine`` with a new ``study``; ConfigError: an old one has another order."""
    held = study.user_attrs.get(ORDER)
    if held == mine:
        return
    if study.get_trials(deepcopy=False):
        raise ConfigError(
            f"search.order: study {study.study_name!r} was started with {_said(held)}, but would"
            f" continue with {_said(mine)}; set it back, or start again (--fresh)"
        )
    study.set_user_attr(ORDER, mine)


def order_notes(
    order: OrderSettings, settings: Settings, *, workers: int, repeatable: bool
) -> Iterator[str]:
    """Yield what there is to know about a search in batch order, a line each."""
    yield (
        f"batch order: the same trials for any number of workers; batches of {order['batch']},"
        f" {counted(order['threads'], 'CPU thread')} a trial"
    )
    if workers > order["batch"]:
        yield (
            f"batch order: of {counted(workers, 'worker')} {order['batch']} have work at a time;"
            " raise search.batch"
        )
    limits = {
        "engine.trial_seconds": settings.engine.trial_seconds,
        "engine.trial_memory_gib": settings.engine.trial_memory_gib,
        "search.stop.seconds": settings.search.stop.seconds,
    }
    # They are the only exception to "depends on finished batches alone".
    if set_ := [name for name, limit in limits.items() if limit]:
        yield f"batch order: what {' and '.join(set_)} ends depends on the machine"
    if not repeatable:
        yield (
            "batch order: on a GPU the last bits of a training may vary from run to run; set"
            " train.deterministic=true"
        )


def order_of(search: SearchSettings, threads: int) -> OrderSettings | None:
    """Return the settings that a search in batch order must keep; None: another order."""
    return {"batch": search.batch, "threads": threads} if search.order == "batch" else None


def _said(order: Mapping[str, int] | None) -> str:
    if order is None:
        return "search.order=async"
    return (
        f"search.order=batch, search.batch={order.get('batch')},"
        f" engine.threads={order.get('threads')}"
    )


class _OfFinishedBatches(ViewSampler):
    """Has a sampler propose one trial from finished batches; ``first``: of the trial's batch."""

    def __init__(self, sampler: BaseSampler, first: int) -> None:
        super().__init__(sampler)
        self._first = first
        self._seen: Study | None = None

    def view(self, study: Study, trial: FrozenTrial) -> Study:
        """Return ``study`` as it was when the batch of ``trial`` began."""
        if self._seen is None:
            self._seen = _Past(study, trial, self._first).as_study()
        return self._seen


class _Past(StudyView):
    """A study as it was when the batch of ``trial`` began, and ``trial`` was about to begin.

    What a sampler keeps with the study (a sequence's position, a generation's parents) is kept with
    the trial that it proposes, and read from the trials before it. So a proposal that a kill cut
    short has no effect on the proposal that replaces it.
    """

    def __init__(self, study: Study, trial: FrozenTrial, first: int) -> None:
        trials = []
        kept: dict[str, Any] = {}
        for other in study.get_trials(deepcopy=False):
            if other.number < trial.number:
                kept |= _kept_for_study(other)
            if other.number < first or other.number == trial.number:
                trials.append(other)
            elif other.number < trial.number:
                trials.append(_as_begun(other))
        super().__init__(sorted(trials, key=lambda other: other.number), study=study)
        self._identity = trial_id(study, trial)
        self._kept = super().get_study_system_attrs(self._id_of_study) | kept

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what samplers have kept up to the trial."""
        return dict(self._kept)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep ``value`` with the trial."""
        self._kept[key] = value
        self.set_trial_system_attr(self._identity, f"{_STUDY}{key}", value)


def _kept_for_study(trial: FrozenTrial) -> dict[str, Any]:
    return {
        key.removeprefix(_STUDY): value
        for key, value in trial.system_attrs.items()
        if key.startswith(_STUDY)
    }


def _as_begun(trial: FrozenTrial) -> FrozenTrial:
    """Return ``trial`` as if it had only just started."""
    started = copy(trial)
    started.state, started.values = TrialState.RUNNING, None
    started.intermediate_values, started.system_attrs = {}, {}
    started.datetime_complete = None
    return started
