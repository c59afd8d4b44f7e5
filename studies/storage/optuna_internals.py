"""All private parts of Optuna that this program uses, in three groups.

A group is checked at its first use. If it is not as expected, perhaps in another version of Optuna,
the slower public way is taken, and one line says so.
"""

import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.storage.optuna_tables import COLUMNS, Tables

_log = logging.getLogger(__name__)

NOT_FOUND = "Record does not exist."
"""Message of the KeyError with which Optuna says that a study or trial is not stored."""

FIXED_PARAMS = "fixed_params"
"""System attribute in which Optuna keeps the params that a trial is required to have."""


class Unexpected(Exception):
    """A private part of Optuna is not as it is in the versions that were tested."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Unexpected(what)


def _checked(what: str) -> Callable[[Callable[[], None]], Callable[[], bool]]:
    """Turn a check of ``what`` into whether it passes; it is made at the first call."""

    def decorate(check: Callable[[], None]) -> Callable[[], bool]:
        @functools.cache
        @functools.wraps(check)
        def passes() -> bool:
            try:
                check()
            except Exception as error:  # whatever a changed Optuna raises
                _log.warning(
                    "Optuna %s: %s are not as expected (%s: %s); the slower public way is taken",
                    optuna.__version__,
                    what,
                    type(error).__name__,
                    error,
                )
                return False
            return True

        return passes

    return decorate


# --- Which storage a study is in, and the identities of studies and trials there.


class OpenStudy(optuna.Study):
    """A study that knows the storage it was opened on; Optuna may put a cache before that."""

    def __init__(self, name: str, storage: BaseStorage, sampler: BaseSampler | None = None) -> None:
        super().__init__(name, storage, sampler=sampler)
        self.opened_on = storage


@_checked("the identities of studies and trials")
def identities_known() -> None:
    """Whether storage and identity of a study, and the identity of a trial, can be read."""
    study = optuna.Study("probe", cast(BaseStorage, _Probe()), sampler=RandomSampler())
    _require(isinstance(study._storage, _Probe), "Study._storage")
    _require(study._study_id == _Probe.study_id, "Study._study_id")
    _require(_Probe().get_trial(5)._trial_id == 5, "FrozenTrial._trial_id")
    from optuna.storages import _CachedStorage

    backend = cast(RDBStorage, object())
    _require(_CachedStorage(backend)._backend is backend, "_CachedStorage._backend")


def study_on(storage: object, name: str, *, sampler: BaseSampler | None = None) -> optuna.Study:
    """Return a study on ``storage``, which may be only as much of one as samplers use."""
    return OpenStudy(name, cast(BaseStorage, storage), sampler=sampler)


def load_study(name: str, storage: BaseStorage) -> optuna.Study:
    """Return study ``name`` of ``storage``; raise KeyError if there is none."""
    return OpenStudy(name, storage)


def create_study(
    name: str, storage: BaseStorage, directions: Sequence[StudyDirection]
) -> optuna.Study:
    """Return study ``name`` of ``storage``; it is made if it is not there."""
    optuna.create_study(
        study_name=name, storage=storage, directions=directions, load_if_exists=True
    )
    return OpenStudy(name, storage)


def name_metrics(study: optuna.Study, names: Sequence[str]) -> None:
    """Keep the names of the objectives with ``study``: Optuna's dashboard and figures show them."""
    if study.metric_names == list(names):
        return
    with warnings.catch_warnings():
        # Optuna calls it experimental, since 3.2.
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(names))


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return the storage that ``study`` reads and writes, Optuna's cache if there is one."""
    return study._storage if identities_known() else cast(OpenStudy, study).opened_on


def backend_of(study: optuna.Study) -> BaseStorage:
    """Return the storage that ``study`` is in, without the cache that Optuna keeps before it."""
    storage = storage_of(study)
    if identities_known() and isinstance(storage, optuna.storages._CachedStorage):
        return storage._backend
    return storage


def study_id(study: optuna.Study) -> int:
    """Return the identity of ``study`` in its storage."""
    if identities_known():
        return study._study_id
    return storage_of(study).get_study_id_from_name(study.study_name)


def trial_id(study: optuna.Study, trial: FrozenTrial) -> int:
    """Return the identity of ``trial`` in the storage of ``study``."""
    if identities_known():
        return trial._trial_id
    storage = storage_of(study)
    return storage.get_trial_id_from_study_id_trial_number(study_id(study), trial.number)


class _Probe:
    """As much of a storage as a study and the only trial of it, which is required to have x."""

    study_id = 7

    def __init__(self) -> None:
        self.written: dict[str, float] = {}

    def get_study_id_from_name(self, study_name: str) -> int:
        return self.study_id

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection.MINIMIZE]

    def get_all_trials(self, study_id: int, **_: object) -> list[FrozenTrial]:
        return [self.get_trial(-1)]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return FrozenTrial(
            number=0,
            trial_id=trial_id,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=None,
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={FIXED_PARAMS: {"x": 0.25}},
            intermediate_values={},
        )

    def set_trial_param(
        self, trial_id: int, name: str, internal: float, distribution: BaseDistribution
    ) -> None:
        self.written[name] = internal


# --- Trials that a sampler completes in memory, before they are stored.


@_checked("trials that are not stored yet")
def drafts_known() -> None:
    """Whether a sampler can be asked for a trial that no storage holds yet."""
    _require(identities_known(), "identities")
    probe = _Probe()
    trial = optuna.Trial(study_on(probe, "probe", sampler=RandomSampler(seed=0)), -1)
    found = trial.suggest_float("x", 0.0, 1.0)
    _require((found, probe.written) == (0.25, {"x": 0.25}), "fixed_params")
    _require(0.0 <= trial.suggest_float("y", 0.0, 1.0) <= 1.0, "suggest_float")
    _require(set(probe.written) == {"x", "y"}, "set_trial_param")


def draft_trial(study: optuna.Study, draft: FrozenTrial) -> optuna.Trial:
    """Return ``draft``, which the storage of ``study`` gives out, as samplers are asked for it."""
    return optuna.Trial(study, draft._trial_id)


def identify(trial: FrozenTrial, identity: int) -> None:
    """Note the identity that ``trial`` has got in its storage."""
    trial._trial_id = identity


def required_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the params that ``trial`` was required to have when it was enqueued or started."""
    return dict(trial.system_attrs.get(FIXED_PARAMS, {}))


# --- Optuna's tables in an SQL database.


@functools.cache
def tables() -> Tables:
    """Return Optuna's tables."""
    from optuna.storages._rdb import models

    known = models.BaseModel.metadata.tables
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    return Tables(
        **{name: known[name] for name in COLUMNS},
        value_to_stored=value.value_to_stored_repr,
        value_from_stored=value.stored_repr_to_value,
        step_to_stored=step.intermediate_value_to_stored_repr,
        step_from_stored=step.stored_repr_to_intermediate_value,
    )


@_checked("the tables of a database")
def tables_known() -> None:
    """Whether Optuna's tables, and the calls of its cache, can be replaced by plain queries."""
    _require(identities_known(), "identities")
    found = tables()
    for name, columns in COLUMNS.items():
        table: sqlalchemy.Table = getattr(found, name)
        there = {column.name: column for column in table.columns}
        _require(columns <= there.keys(), f"columns of {name}")
        for column in there.keys() - columns:  # nothing else must be filled in
            free = there[column].nullable or there[column].primary_key
            _require(free or there[column].default is not None, f"{name}.{column}")
    for value in (0.5, float("inf"), float("-inf")):
        _require(found.value_from_stored(*found.value_to_stored(value)) == value, "stored values")
        _require(found.step_from_stored(*found.step_to_stored(value)) == value, "stored steps")
    nan = found.step_from_stored(*found.step_to_stored(float("nan")))
    _require(nan != nan, "a stored nan")
    for method, parameters in _CALLED_BY_THE_CACHE.items():
        signature = inspect.signature(getattr(RDBStorage, method)).parameters
        _require(tuple(signature) == ("self", *parameters), method)


_CALLED_BY_THE_CACHE = {
    "_get_trials": ("study_id", "states", "included_trial_ids", "trial_id_greater_than"),
    "_create_new_trial": ("study_id", "template_trial"),
    "_set_trial_param": (
        "trial_id",
        "param_name",
        "param_value_internal",
        "distribution",
        "previous_distribution",
    ),
    "_get_best_trial_id": ("study_id", "direction"),
}
"""Methods of a storage that Optuna's cache calls, in place of the public ones."""


class OpenRDBStorage(RDBStorage):
    """Optuna's SQL storage, with public names for what its cache asks it for."""

    def read_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        """Return trials with some identities, and all with a greater one, by identity."""
        return super()._get_trials(*args, **kwargs)

    def add_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Store a new trial, as ``template_trial`` has it; return it with number and identity."""
        return super()._create_new_trial(study_id, template_trial)

    def write_param(self, *args: Any, **kwargs: Any) -> None:
        """Store a param of a trial that runs."""
        super()._set_trial_param(*args, **kwargs)

    def best_trial_id(self, study_id: int, direction: StudyDirection) -> int:
        """Return the identity of the best trial by its first value."""
        return super()._get_best_trial_id(study_id, direction)

    # Optuna's cache calls these four.

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        read = self.read_trials if tables_known() else super()._get_trials
        return read(*args, **kwargs)

    def _create_new_trial(self, *args: Any, **kwargs: Any) -> FrozenTrial:
        add = self.add_trial if tables_known() else super()._create_new_trial
        return add(*args, **kwargs)

    def _set_trial_param(self, *args: Any, **kwargs: Any) -> None:
        write = self.write_param if tables_known() else super()._set_trial_param
        write(*args, **kwargs)

    def _get_best_trial_id(self, *args: Any, **kwargs: Any) -> int:
        best = self.best_trial_id if tables_known() else super()._get_best_trial_id
        return best(*args, **kwargs)
