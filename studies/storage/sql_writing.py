"""Writes whole studies and trials into Optuna's tables, in the caller's transaction."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from studies.storage.base import Content
from studies.storage.optuna_internals import FIXED_PARAMS, tables


def study_names(connection: Connection) -> set[str]:
    """Return the names of all stored studies."""
    return set(connection.scalars(sqlalchemy.select(tables().studies.c.study_name)))


def rename_study(connection: Connection, old: str, new: str) -> None:
    """Give study ``old`` the name ``new``."""
    studies = tables().studies
    which = sqlalchemy.update(studies).where(studies.c.study_name == old)
    connection.execute(which.values(study_name=new))


def insert_study(connection: Connection, content: Content) -> int:
    """Add a study, as it is; return its identity."""
    known = tables()
    identity = connection.scalars(
        sqlalchemy.insert(known.studies).returning(known.studies.c.study_id),
        [{"study_name": content.name}],
    ).one()
    directions = [{"direction": d, "objective": n} for n, d in enumerate(content.directions)]
    for table, rows in (
        (known.study_directions, directions),
        (known.study_user_attributes, attribute_rows(content.user_attrs)),
        (known.study_system_attributes, attribute_rows(content.system_attrs)),
    ):
        if rows:
            connection.execute(
                sqlalchemy.insert(table), [{"study_id": identity, **row} for row in rows]
            )
    insert_trials(connection, identity, content.trials)
    return int(identity)


def inserted_study(
    connection: Connection, identity: int, name: str, trials: Iterable[FrozenTrial]
) -> Content:
    """Return a study as the transaction that wrote it reads it back; its ``trials`` are read."""

    def rows(table: sqlalchemy.Table) -> list[Any]:
        query = sqlalchemy.select(table).where(table.c.study_id == identity)
        return list(connection.execute(query))

    known = tables()
    directions = sorted(rows(known.study_directions), key=lambda row: row.objective)
    user, system = rows(known.study_user_attributes), rows(known.study_system_attributes)
    return Content(
        name=name,
        directions=[row.direction for row in directions],
        user_attrs={row.key: json.loads(row.value_json) for row in user},
        system_attrs={row.key: json.loads(row.value_json) for row in system},
        trials=sorted(trials, key=lambda trial: trial.number),
    )


def reopen_trial(
    connection: Connection, study_id: int, number: int, attributes: Mapping[str, Any]
) -> None:
    """Have a failed trial wait again with new user attributes; its params stay."""
    known = tables()
    trials, system = known.trials, known.trial_system_attributes
    which = (trials.c.study_id == study_id) & (trials.c.number == number)
    trial_id = connection.scalars(
        sqlalchemy.update(trials)
        .where(which & (trials.c.state == TrialState.FAIL))
        .values(state=TrialState.WAITING, datetime_complete=None)
        .returning(trials.c.trial_id)
    ).one()
    for table, more in (
        (known.trial_values, sqlalchemy.true()),
        (known.trial_intermediate_values, sqlalchemy.true()),
        (system, system.c.key != FIXED_PARAMS),
    ):
        connection.execute(sqlalchemy.delete(table).where(table.c.trial_id == trial_id, more))
    replace_attributes(connection, trial_id, attributes)


def replace_attributes(
    connection: Connection, trial_id: int, attributes: Mapping[str, Any]
) -> None:
    """Set user attributes of a trial."""
    user = tables().trial_user_attributes
    before = (user.c.trial_id == trial_id) & user.c.key.in_(attributes)
    connection.execute(sqlalchemy.delete(user).where(before))
    rows = [{"trial_id": trial_id, **row} for row in attribute_rows(attributes)]
    if rows:
        connection.execute(sqlalchemy.insert(user), rows)


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
    """Add ``trials``, as they are, to a study; return their identities."""
    # All rows of a table at once: Optuna's own way takes some thirty queries a trial.
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


def end_trial(
    connection: Connection, trial_id: int, state: TrialState, values: Sequence[float] | None
) -> None:
    """End a trial now, with one value for each objective, or none."""
    known = tables()
    which = known.trial_values.c.trial_id == trial_id
    if values is not None:
        connection.execute(sqlalchemy.delete(known.trial_values).where(which))
        rows = [{"trial_id": trial_id, **row} for row in _rows_of_values(values)]
        connection.execute(sqlalchemy.insert(known.trial_values), rows)
    ended = sqlalchemy.update(known.trials).where(known.trials.c.trial_id == trial_id)
    connection.execute(ended.values(state=state, datetime_complete=_utc(datetime.now())))


def replace_steps(connection: Connection, trial_id: int, values: Mapping[int, float]) -> None:
    """Set the values of a trial at some steps."""
    table = tables().trial_intermediate_values
    # A trial that is run again reports its first steps once more.
    before = (table.c.trial_id == trial_id) & table.c.step.between(min(values), max(values))
    connection.execute(sqlalchemy.delete(table).where(before, table.c.step.in_(values)))
    rows = [{"trial_id": trial_id, **row} for row in _rows_of_steps(values)]
    connection.execute(sqlalchemy.insert(table), rows)


def attribute_rows(attributes: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return rows of a table of attributes, less the identity of their owner."""
    return [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _value_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    return _rows_of_values(trial.values or ())


def _rows_of_values(values: Sequence[float]) -> list[dict[str, Any]]:
    stored = map(tables().value_to_stored, values)
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
    return _rows_of_steps(trial.intermediate_values)


def _rows_of_steps(values: Mapping[int, float]) -> list[dict[str, Any]]:
    stored = tables().step_to_stored
    return [
        {"step": step, "intermediate_value": found[0], "intermediate_value_type": found[1]}
        for step, found in ((s, stored(v)) for s, v in values.items())
    ]


def _utc(local: datetime | None) -> datetime | None:
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
