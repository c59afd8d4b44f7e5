"""What a fork takes over from the study it is forked from: the trials that it would train the same.

A trial is compatible if the new space holds a point that trains the very configuration that the
trial was trained with. So wider or narrower ranges, a parameter that is searched now and was fixed
before, and other conditions cost no more trials than they must. Where the objective, metric,
data or trainer is another one, no value can be compared with a new one, and nothing is taken over.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from search_spaces.space import Float, Parameter, SpaceError
from studies.core.attributes import ATTEMPT, CARRIED, ENQUEUED, ORDER, OWNER, SEED, WOULD_PRUNE
from studies.core.seeds import trial_seed
from studies.core.trials import tally
from studies.planning.fingerprint import comparable_settings, differences
from studies.planning.plan import Plan
from studies.search.enqueued import point_of
from studies.search.optuna_bridge import to_distribution
from studies.storage.optuna_internals import FIXED_PARAMS

_PER_TRIAL = ("space", "train", "seed")
"""Parts of a fingerprint that may differ: each trial is looked at, and has its own seed."""

_OPTUNAS = "constraints"
"""Beginning of Optuna's system attributes that say whether a trial is feasible."""


class _Incompatible(Exception):
    """A trial cannot be taken over; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """The trials of a fork.

    Attributes:
        trials: those taken over, numbered anew from 0: first the default configurations in the
            places that they have in every study (one that is missing waits to be run), then the
            others in their old order. Empty: none is compatible.
        count: how many were taken over.
        left: why the others were not, and how many each time, most frequent first.
    """

    trials: tuple[FrozenTrial, ...]
    count: int
    left: tuple[tuple[str, int], ...]


def carry(
    plan: Plan, *, study: str, values: Mapping[str, Any], trials: Sequence[FrozenTrial]
) -> Carried:
    """Take over what is compatible with ``plan``.

    Args:
        plan: the fork's; it knows its data's fingerprint.
        study: name of the study that is forked.
        values: what the fingerprint of that study was taken of.
        trials: its search, by number.
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
    """Say why no trial at all can be taken over; "" if some may be."""
    if old.get("data") != new.get("data"):
        return "the data or its split is another one"
    fixed = [{k: v for k, v in one.items() if k not in _PER_TRIAL} for one in (old, new)]
    return "; ".join(differences(*fixed))


def _point(plan: Plan, values: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the point of ``plan``'s space that trains what ``params`` trained.

    Raises:
        _Incompatible: there is none.
    """
    space = plan.spec.space
    params = {name: _snapped(space.parameters.get(name), v) for name, v in params.items()}
    old = _trained(values, params)

    def choose(name: str, parameter: Parameter) -> Any:
        return params[name] if name in params else _get(old, space.setting(name))

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
    """Return the settings that ``params`` were trained with, in the study of ``values``.

    A setting that was searched, but not by this trial, had its default.
    """
    settings: dict[str, Any] = copy.deepcopy(values["train"])
    default = TrainConfig().model_dump()
    searched = {name: one.get("sets") or name for name, one in values["space"].items()}
    for setting in searched.values():
        _put(settings, setting, _get(default, setting))
    for name, value in params.items():
        _put(settings, searched[name], value)
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
            placed.append(_carried(plan, study, number, *same))
    first = len(placed)
    placed += [_carried(plan, study, first + n, *one) for n, one in enumerate(left)]
    return placed


def _carried(
    plan: Plan, study: str, number: int, point: Mapping[str, Any], trial: FrozenTrial
) -> FrozenTrial:
    made = copy.copy(trial)
    made.number = number
    made.params = dict(point)
    made.distributions = {name: to_distribution(plan.spec.space.parameters[name]) for name in point}
    left = (
        ENQUEUED,
        ORDER,
        OWNER,
    )  # of the other study's files, order and supervisors
    attributes = {k: v for k, v in trial.user_attrs.items() if k not in left}
    made.user_attrs = {**attributes, CARRIED: {"study": study, "trial": trial.number}}
    # What samplers and rungs of pruners noted belongs to the numbers and the space of before.
    made.system_attrs = {
        k: v for k, v in trial.system_attrs.items() if k == WOULD_PRUNE or k.startswith(_OPTUNAS)
    }
    return made


def _waiting(number: int, params: Mapping[str, Any], seed: int) -> FrozenTrial:
    """Return a trial that waits to be run, as the book makes one."""
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


def _get(settings: Mapping[str, Any], dotted: str) -> Any:
    value: Any = settings
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _put(settings: dict[str, Any], dotted: str, value: Any) -> None:
    *tables, leaf = dotted.split(".")
    for table in tables:
        settings = settings.setdefault(table, {})
    settings[leaf] = value
