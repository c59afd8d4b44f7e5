"""Studies in an SQL database: Optuna's storage, with trials read by plain queries.

Optuna reads trials as mapped objects, one for each parameter, attribute and intermediate value, and
parses the distribution of each parameter twice: 7 s for 10,000 trials. Plain rows give the same
trials in a fraction of that, and trials with equal distributions share them in memory.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection, Row

_TRIALS = models.BaseModel.metadata.tables["trials"]
_VALUES = models.BaseModel.metadata.tables["trial_values"]
_PARAMS = models.BaseModel.metadata.tables["trial_params"]
_STEPS = models.BaseModel.metadata.tables["trial_intermediate_values"]
_USER = models.BaseModel.metadata.tables["trial_user_attributes"]
_SYSTEM = models.BaseModel.metadata.tables["trial_system_attributes"]
_FEW = 200
"""Trials that are asked for by their identities; SQLite takes some hundred in one query."""

Rows = Mapping[int, list[Row[Any]]]
"""Rows of one table by trial identity."""


class SqlStorage(RDBStorage):
    """Optuna's storage in an SQL database.

    Args:
        url: an SQLAlchemy URL.
        engine_kwargs: as SQLAlchemy's ``create_engine`` takes them.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any], **options: Any) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        # Optuna formats the URL.
        escaped = url.replace("{", "{{").replace("}", "}}")
        super().__init__(escaped, engine_kwargs=engine_kwargs, **options)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial.

        Raises:
            KeyError: there is none.
        """
        with self.engine.connect() as connection:
            found = self._read(connection, _TRIALS.c.trial_id == trial_id)
        if not found:
            raise KeyError(f"there is no trial with identity {trial_id}")
        return found[0]

    def trials_in(self, connection: Connection, study_id: int) -> list[FrozenTrial]:
        """Return all trials of a study as ``connection``, in its transaction, sees them."""
        return self._read(connection, _TRIALS.c.study_id == study_id)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        of_study = _TRIALS.c.study_id == study_id
        with self.engine.connect() as connection:
            # Two queries: an OR of both would read the whole study each time.
            trials = self._read(connection, of_study & (_TRIALS.c.trial_id > trial_id_greater_than))
            known = sorted(i for i in included_trial_ids if i <= trial_id_greater_than)
            for first in range(0, len(known), _FEW):
                some = _TRIALS.c.trial_id.in_(known[first : first + _FEW])
                trials += self._read(connection, of_study & some)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return sorted(trials, key=lambda trial: trial._trial_id)

    def _read(
        self, connection: Connection, which: sqlalchemy.ColumnElement[bool]
    ) -> list[FrozenTrial]:
        rows = connection.execute(
            sqlalchemy.select(_TRIALS).where(which).order_by(_TRIALS.c.trial_id)
        ).all()
        if not rows:
            return []
        identities = [row.trial_id for row in rows] if len(rows) <= _FEW else None

        def of(table: sqlalchemy.Table) -> Rows:
            query = sqlalchemy.select(table)
            if identities is not None:
                query = query.where(table.c.trial_id.in_(identities))
            else:
                query = query.join(_TRIALS, _TRIALS.c.trial_id == table.c.trial_id).where(which)
            grouped = defaultdict(list)
            for row in connection.execute(query):
                grouped[row.trial_id].append(row)
            return grouped

        values, params, steps, user, system = map(of, (_VALUES, _PARAMS, _STEPS, _USER, _SYSTEM))
        return [
            self._trial(
                row,
                values.get(row.trial_id, ()),
                sorted(params.get(row.trial_id, ()), key=lambda param: param.param_id),
                steps.get(row.trial_id, ()),
                user.get(row.trial_id, ()),
                system.get(row.trial_id, ()),
            )
            for row in rows
        ]

    def _trial(
        self,
        row: Row[Any],
        values: Collection[Row[Any]],
        params: Iterable[Row[Any]],
        steps: Iterable[Row[Any]],
        user: Iterable[Row[Any]],
        system: Iterable[Row[Any]],
    ) -> FrozenTrial:
        distributions = {
            param.param_name: self._distribution(param.distribution_json) for param in params
        }
        to_value = models.TrialValueModel.stored_repr_to_value
        to_step = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
        by_objective = sorted(values, key=lambda value: value.objective)
        return FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[to_value(v.value, v.value_type) for v in by_objective] or None,
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params={
                param.param_name: distributions[param.param_name].to_external_repr(
                    param.param_value
                )
                for param in params
            },
            distributions=distributions,
            user_attrs=_attributes(user),
            system_attrs=_attributes(system),
            intermediate_values={
                s.step: to_step(s.intermediate_value, s.intermediate_value_type) for s in steps
            },
            trial_id=row.trial_id,
        )

    def _distribution(self, text: str) -> BaseDistribution:
        known = self._distributions.get(text)
        if known is None:
            known = self._distributions[text] = json_to_distribution(text)
        return known


def insert_trials(connection: Connection, study_id: int, trials: Iterable[FrozenTrial]) -> None:
    """Add ``trials``, as they are, to a study that has none; all in the caller's transaction.

    Optuna's own way takes a transaction and some thirty queries a trial.
    """
    trials = list(trials)
    if not trials:
        return
    identities = connection.scalars(
        sqlalchemy.insert(_TRIALS).returning(_TRIALS.c.trial_id, sort_by_parameter_order=True),
        [
            {
                "number": trial.number,
                "study_id": study_id,
                "state": trial.state,
                "datetime_start": _utc(trial.datetime_start),
                "datetime_complete": _utc(trial.datetime_complete),
            }
            for trial in trials
        ],
    ).all()
    pairs = list(zip(identities, trials, strict=True))

    def insert(table: sqlalchemy.Table, rows: Callable[[FrozenTrial], list[Any]]) -> None:
        found = [{"trial_id": identity, **row} for identity, t in pairs for row in rows(t)]
        if found:
            connection.execute(sqlalchemy.insert(table), found)

    insert(_VALUES, _value_rows)
    insert(_PARAMS, _param_rows)
    insert(_STEPS, _step_rows)
    insert(_USER, lambda trial: attribute_rows(trial.user_attrs))
    insert(_SYSTEM, lambda trial: attribute_rows(trial.system_attrs))


def attribute_rows(attributes: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return rows of one of Optuna's tables of attributes, less the identity of their owner."""
    return [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _value_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    stored = map(models.TrialValueModel.value_to_stored_repr, trial.values or ())
    return [
        {"objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]


def _param_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    from optuna.distributions import distribution_to_json

    return [
        {
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _step_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    return [
        {"step": step, "intermediate_value": found[0], "intermediate_value_type": found[1]}
        for step, found in ((s, stored(v)) for s, v in trial.intermediate_values.items())
    ]


def _attributes(rows: Iterable[Row[Any]]) -> dict[str, Any]:
    return {row.key: json.loads(row.value_json) for row in rows}


def _local(stored: datetime | None) -> datetime | None:
    """Optuna stores UTC and gives local time, both without a zone."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _utc(local: datetime | None) -> datetime | None:
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
