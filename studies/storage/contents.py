"""All that a storage holds of a study, and whether two of them hold the same."""

import json
from dataclasses import dataclass
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from studies.core.attributes import LEASE
from studies.storage.journal import Journal
from studies.storage.sql import SqlStorage


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that a storage holds of one of Optuna's studies.

    Attributes:
        name: of the study.
        directions: one for each objective.
        user_attrs: less the lease, which belongs to a process.
        system_attrs: Optuna's own.
        trials: by number.
    """

    name: str
    directions: list[StudyDirection]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: list[FrozenTrial]


def read_content(storage: BaseStorage, name: str) -> Content:
    """Return what ``storage`` holds of study ``name``.

    Raises:
        KeyError: there is none.
    """
    identity = storage.get_study_id_from_name(name)
    return Content(
        name=name,
        directions=list(storage.get_study_directions(identity)),
        user_attrs=_lasting(storage.get_study_user_attrs(identity)),
        system_attrs=dict(storage.get_study_system_attrs(identity)),
        trials=sorted(_trials(storage, identity), key=lambda trial: trial.number),
    )


def _trials(storage: BaseStorage, study_id: int) -> list[FrozenTrial]:
    if isinstance(storage, SqlStorage | Journal):
        return storage.whole_trials(study_id)
    return storage.get_all_trials(study_id, deepcopy=False)


def difference(one: Content, other: Content) -> str:
    """Return the first difference between two studies; "" if they are the same."""
    for field in ("name", "directions", "user_attrs", "system_attrs"):
        if _plain(getattr(one, field)) != _plain(getattr(other, field)):
            return f"{one.name}: {field}"
    if len(one.trials) != len(other.trials):
        return f"{one.name}: {len(one.trials)} trials and {len(other.trials)}"
    for mine, theirs in zip(one.trials, other.trials, strict=True):
        first, second = _fields(mine), _fields(theirs)
        for field, value in first.items():
            if value != second[field]:
                return f"{one.name}: {field} of trial {mine.number}"
    return ""


def _lasting(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key != LEASE}


def _fields(trial: FrozenTrial) -> dict[str, str]:
    """Return what a trial is made of, so that equal things are equal, also nan."""
    return {
        "number": str(trial.number),
        "state": trial.state.name,
        "values": _plain(trial.values),
        "datetimes": f"{trial.datetime_start} {trial.datetime_complete}",
        "params": _plain(trial.params),
        "distributions": _plain(
            {name: distribution_to_json(d) for name, d in trial.distributions.items()}
        ),
        "user_attrs": _plain(trial.user_attrs),
        "system_attrs": _plain(trial.system_attrs),
        "intermediate_values": _plain({str(s): v for s, v in trial.intermediate_values.items()}),
    }


def _plain(value: Any) -> str:
    """JSON text; SQLite knows no -0.0, which is the same number as 0.0."""
    return json.dumps(_without_minus_zero(value), sort_keys=True, default=str)


def _without_minus_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: _without_minus_zero(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_minus_zero(inner) for inner in value]
    return value
