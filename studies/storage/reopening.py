"""Trials that failed are to be run again: each waits, with the number, params and seed that it had.

Optuna lets nobody change a trial that is over. So in a database its rows are changed, in one
transaction for all trials. A journal only grows: the study is removed and written again at the
file's end, in a copy that is then put in the file's place.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from studies.storage.contents import Content, read_content
from studies.storage.copying import replace_in_journal
from studies.storage.open import Journal, Storage, StorageError, shown
from studies.storage.optuna_internals import FIXED_PARAMS, tables, tables_known
from studies.storage.rows import attribute_rows
from studies.storage.sql import SqlStorage

_KEPT = FIXED_PARAMS
"""What Optuna requires of the params; its other marks are of values that do not count any more."""


def reopen(storage: Storage, name: str, failed: Mapping[int, Mapping[str, Any]]) -> None:
    """Have trials of study ``name`` wait again, all or none; whoever has read them reads them anew.

    Their params stay; reports, values and pruners' marks go.

    Args:
        storage: of the study.
        name: of the study, which nobody else runs.
        failed: new user attributes of each, by number; they are FAIL now.
    """
    if isinstance(storage, Journal):
        replace_in_journal(storage, _reopened(storage, name, failed))
    else:
        _in_rows(storage, name, failed)


def _reopened(storage: Journal, name: str, failed: Mapping[int, Mapping[str, Any]]) -> Content:
    found = read_content(storage, name)
    trials = [
        _waiting(trial, failed[trial.number]) if trial.number in failed else trial
        for trial in found.trials
    ]
    return replace(found, trials=trials)


def _waiting(trial: FrozenTrial, attributes: Mapping[str, Any]) -> FrozenTrial:
    made = copy.copy(trial)
    made.state, made.datetime_complete, made.values = TrialState.WAITING, None, None
    made.intermediate_values = {}
    made.user_attrs = {**trial.user_attrs, **attributes}
    made.system_attrs = {k: v for k, v in trial.system_attrs.items() if k == _KEPT}
    return made


def _in_rows(storage: SqlStorage, name: str, failed: Mapping[int, Mapping[str, Any]]) -> None:
    if not tables_known():
        raise StorageError(
            f"{shown(storage.url)}: --retry-failed changes Optuna's tables, which this version of"
            " Optuna has changed; install the version that pyproject.toml names"
        )
    known = tables()
    trials, user = known.trials, known.trial_user_attributes
    system = known.trial_system_attributes
    identity = storage.get_study_id_from_name(name)
    with storage.engine.begin() as connection:
        for number, attributes in failed.items():
            which = (trials.c.study_id == identity) & (trials.c.number == number)
            trial = connection.scalars(
                sqlalchemy.update(trials)
                .where(which & (trials.c.state == TrialState.FAIL))
                .values(state=TrialState.WAITING, datetime_complete=None)
                .returning(trials.c.trial_id)
            ).one()
            for table, more in (
                (known.trial_values, sqlalchemy.true()),
                (known.trial_intermediate_values, sqlalchemy.true()),
                (system, system.c.key != _KEPT),
                (user, user.c.key.in_(attributes)),
            ):
                connection.execute(sqlalchemy.delete(table).where(table.c.trial_id == trial, more))
            rows = [{"trial_id": trial, **row} for row in attribute_rows(attributes)]
            if rows:
                connection.execute(sqlalchemy.insert(user), rows)
