"""The trials that a fork takes over: those that it would train the same.

A trial is compatible if a point of the new space trains its very configuration. So wider or
narrower ranges, a fixed parameter that is searched now, and other conditions lose few trials. With
another objective, metric, data or trainer no values can be compared, so nothing is taken over.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from search_spaces.space import Float, Parameter, Space, SpaceError
from studies.core.attributes import ATTEMPT, CARRIED, ENQUEUED, ORDER, OWNER, SEED, WOULD_PRUNE
from studies.core.seeds import trial_seed
from studies.core.trials import tally
from studies.planning.fingerprint import comparable_settings, differences
from studies.planning.plan import Plan
from studies.planning.settings import put_setting, setting_of
from studies.search.enqueued import point_of
from studies.search.optuna_bridge import to_distribution
from studies.storage.optuna_internals import FIXED_PARAMS

_PER_TRIAL = ("space", "train", "seed")
"""Parts of a fingerprint that may differ: each trial is checked, and has its own seed."""

_OPTUNAS = "constraints"
"""Start of Optuna's system attributes that say whether a trial is feasible."""


class _Incompatible(Exception):
    """A trial cannot be taken over; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """The trials of a fork.

    Attributes:
        trials: numbered from 0: first the default configurations in the places that they have in
            every study (a missing one waits to be run), then the rest in their old order. Empty:
            none is compatible.
        count: number of trials that were taken over.
        left: the reasons against the rest with their counts, most frequent first.
    """

    trials: tuple[FrozenTrial, ...]
    count: int
    left: tuple[tuple[str, int], ...]


def carry(
    plan: Plan, *, study: str, values: Mapping[str, Any], trials: Sequence[FrozenTrial]
) -> Carried:
    """Return those of ``trials`` that are compatible with ``plan``, the fork's.

    ``values`` are of the fingerprint of the forked ``study``; ``trials`` are its search.
    """
    found: list[tuple[dict[str, Any], FrozenTrial]] = []
    reasons: list[str] = []
    blocked = _blocked(values, plan.fingerprint()[1])
    for trial in trials:
        try:
            if blocked:
                raise _Incompatible(blocked)
            if not trial.state.is_finished():
                raise _Incompatible("not finished")
            found.append((_point(plan, values, trial.params), trial))
        except _Incompatible as reason:
            reasons.append(str(reason))
    placed = _placed(plan, study, found) if found else []
    return Carried(trials=tuple(placed), count=len(found), left=tally(reasons))


def _blocked(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return why no trial at all can be taken over; "" if some may be."""
    if old.get("data") != new.get("data"):
        return "the data or its split is another one"
    fixed = [{k: v for k, v in one.items() if k not in _PER_TRIAL} for one in (old, new)]
    return "; ".join(differences(*fixed))


def _point(plan: Plan, values: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the point of ``plan``'s space that trains what ``params`` trained.

    Raises:
        _Incompatible: if there is none.
    """
    space = plan.spec.space
    params = {name: _snapped(space.parameters.get(name), v) for name, v in params.items()}
    old = _trained(values, params)

    def choose(name: str, parameter: Parameter) -> Any:
        return params[name] if name in params else setting_of(old, space.setting(name))

    point = space.walk(choose)
    try:
        config = plan.config_for(point, seed=0)
    except (SpaceError, ConfigError) as error:
        raise _Incompatible(str(error)) from None
    changed = differences(old, comparable_settings(config))
    if changed:
        raise _Incompatible(changed[0])
    return point


def _snapped(parameter: Parameter | None, value: Any) -> Any:
    return parameter.snapped(value) if isinstance(parameter, Float) else value


def _trained(values: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that trained ``params`` in the study of ``values``.

    A searched setting that this trial did not have had its default.
    """
    settings: dict[str, Any] = copy.deepcopy(values["train"])
    default = TrainConfig().model_dump()
    searched = {name: one.get("sets") or name for name, one in values["space"].items()}
    for setting in searched.values():
        put_setting(settings, setting, setting_of(default, setting))
    for name, value in params.items():
        put_setting(settings, searched[name], value)
    return settings


def _placed(
    plan: Plan, study: str, found: Sequence[tuple[dict[str, Any], FrozenTrial]]
) -> list[FrozenTrial]:
    left = list(found)
    placed: list[FrozenTrial] = []
    for number in range(len(plan.spec.defaults)):
        default = plan.required_params(number)
        same = next((one for one in left if point_of(one[0]) == point_of(default)), None)
        if same is None:
            placed.append(_waiting(number, default, trial_seed(plan.settings.search.seed, number)))
        else:
            left.remove(same)
            placed.append(_carried(plan.spec.space, study, number, *same))
    first = len(placed)
    placed += [_carried(plan.spec.space, study, first + n, *one) for n, one in enumerate(left)]
    return placed


def _carried(
    space: Space, study: str, number: int, point: Mapping[str, Any], trial: FrozenTrial
) -> FrozenTrial:
    made = copy.copy(trial)
    made.number = number
    made.params = dict(point)
    made.distributions = {name: to_distribution(space.parameters[name]) for name in point}
    left = (ENQUEUED, ORDER, OWNER)  # the other study's files, order and supervisors
    attributes = {k: v for k, v in trial.user_attrs.items() if k not in left}
    made.user_attrs = {**attributes, CARRIED: {"study": study, "trial": trial.number}}
    # Notes of samplers and pruners' rungs belong to the old numbers and space.
    made.system_attrs = {
        k: v for k, v in trial.system_attrs.items() if k == WOULD_PRUNE or k.startswith(_OPTUNAS)
    }
    return made


def _waiting(number: int, params: Mapping[str, Any], seed: int) -> FrozenTrial:
    """Return a trial that waits to be run, as the ledger makes it."""
    return FrozenTrial(
        number=number,
        trial_id=-1,
        state=TrialState.WAITING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={SEED: seed, ATTEMPT: 0},
        system_attrs={FIXED_PARAMS: dict(params)},
        intermediate_values={},
    )
