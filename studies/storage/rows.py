"""Writing whole trials into an SQL database at once, as they are."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial
from sqlalchemy.engine import Connection

from studies.storage.optuna_internals import FIXED_PARAMS, tables

_NOTHING: dict[str, Any] = {}
"""Nobody adds to a trial that is over."""


def forget_begin(trial: FrozenTrial) -> None:
    """Leave out what ``trial`` was begun with, if it is over."""
    if trial.state.is_finished():
        kept = {n: value for n, value in trial.system_attrs.items() if n != FIXED_PARAMS}
        trial.system_attrs = kept or _NOTHING


class SharedDistributions:
    """Distributions of trials that are over, each set of them once, and the choices' names."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}

    def share(self, trial: FrozenTrial) -> None:
        """Give ``trial``, if it is over, the distributions that others like it have."""
        if trial.state.is_finished():  # Optuna changes those of one that runs
            # Not by equality: choices of 0 and False are equal.
            key = tuple(f"{name} {kind!r}" for name, kind in trial.distributions.items())
            trial.distributions = self._known.setdefault(key, trial.distributions)
            trial.params = {
                name: sys.intern(value) if isinstance(value, str) else value
                for name, value in trial.params.items()
            }


def insert_trial(connection: Connection, study_id: int, trial: FrozenTrial) -> tuple[int, int]:
    """Add ``trial`` to a study under the next number; return its identity and that number."""
    (identity,) = insert_trials(connection, study_id, [trial])
    table = tables().trials
    before = (table.c.study_id == study_id) & (table.c.trial_id < identity)
    count = sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(before)
    number = int(connection.scalar(count) or 0)
    numbered = sqlalchemy.update(table).where(table.c.trial_id == identity)
    connection.execute(numbered.values(number=number))
    return identity, number


def insert_trials(
    connection: Connection, study_id: int, trials: Iterable[FrozenTrial]
) -> Sequence[int]:
    """Add ``trials``, as they are, to a study; all in the caller's transaction.

    Optuna's own way takes a transaction and some thirty queries a trial.

    Returns:
        Their identities.
    """
    trials = list(trials)
    if not trials:
        return []
    known = tables()
    table = known.trials
    identities = connection.scalars(
        sqlalchemy.insert(table).returning(table.c.trial_id, sort_by_parameter_order=True),
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

    insert(known.trial_values, _value_rows)
    insert(known.trial_params, _param_rows)
    insert(known.trial_intermediate_values, _step_rows)
    insert(known.trial_user_attributes, lambda trial: attribute_rows(trial.user_attrs))
    insert(known.trial_system_attributes, lambda trial: attribute_rows(trial.system_attrs))
    return identities


def attribute_rows(attributes: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return rows of one of Optuna's tables of attributes, less the identity of their owner."""
    return [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _value_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    stored = map(tables().value_to_stored, trial.values or ())
    return [
        {"objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]


def _param_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    return [
        {
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _step_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    stored = tables().step_to_stored
    return [
        {"step": step, "intermediate_value": found[0], "intermediate_value_type": found[1]}
        for step, found in ((s, stored(v)) for s, v in trial.intermediate_values.items())
    ]


def _utc(local: datetime | None) -> datetime | None:
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
