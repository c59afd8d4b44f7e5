"""Everything that a storage holds of a study, and whether two storages hold the same."""

import json
from collections.abc import Sequence
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from studies.core.attributes import LEASE
from studies.storage.base import Content, Storage
from studies.storage.errors import CopyError

__all__ = ["Content", "append", "check_same", "difference", "read_content"]


def read_content(storage: BaseStorage, name: str) -> Content:
    """Return what ``storage`` holds of study ``name``; raise KeyError if there is no such study."""
    identity = storage.get_study_id_from_name(name)
    user_attrs = storage.get_study_user_attrs(identity)
    if isinstance(storage, Storage):
        trials = storage.whole_trials(identity)
    else:
        trials = storage.get_all_trials(identity, deepcopy=False)
    return Content(
        name=name,
        directions=list(storage.get_study_directions(identity)),
        user_attrs={key: value for key, value in user_attrs.items() if key != LEASE},
        system_attrs=dict(storage.get_study_system_attrs(identity)),
        trials=sorted(trials, key=lambda trial: trial.number),
    )


def append(storage: BaseStorage, content: Content) -> int:
    """Add a study by Optuna's public calls; return its identity."""
    identity = storage.create_new_study(content.directions, content.name)
    for key, value in content.user_attrs.items():
        storage.set_study_user_attr(identity, key, value)
    for key, value in content.system_attrs.items():
        storage.set_study_system_attr(identity, key, value)
    for trial in content.trials:
        storage.create_new_trial(identity, trial)
    return identity


def check_same(contents: Sequence[Content], copies: Sequence[Content], target: str) -> None:
    """Raise ``CopyError`` unless ``copies``, read from ``target``, are what was written."""
    for content, copy in zip(contents, copies, strict=True):
        found = difference(content, copy)
        if found:
            raise CopyError(
                f"{target} does not hold what was written to it ({found}); nothing was copied"
            )


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


def _fields(trial: FrozenTrial) -> dict[str, str]:
    """Return the parts of a trial as text, so that a nan equals a nan."""
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
    """Return JSON text; SQLite has no -0.0, which equals 0.0."""
    return json.dumps(_without_minus_zero(value), sort_keys=True, default=str)


def _without_minus_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: _without_minus_zero(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_minus_zero(inner) for inner in value]
    return value
