"""The trials that a fork takes over: those that it would train the same.

A trial is compatible if a point of the new space trains its very configuration. So wider or
narrower ranges, a fixed parameter that is searched now, and other conditions lose few trials.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from mnist_core.errors import ConfigError
from search_spaces.space import Float, Parameter, SpaceError
from studies.core.attributes import (
    ATTEMPT,
    CARRIED,
    ENQUEUED,
    LEARNED,
    ORDER,
    OWNER,
    PAUSE,
    SEED,
    WOULD_PRUNE,
)
from studies.core.seeds import trial_seed
from studies.core.trials import tally
from studies.planning.fingerprint import differences
from studies.planning.plan import Plan
from studies.planning.settings import setting_of
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
    fork = _Fork(plan, study, values)
    found: list[_Found] = []
    reasons: list[str] = []
    blocked = _blocked(values, plan.fingerprint()[1])
    for trial in trials:
        try:
            if blocked:
                raise _Incompatible(blocked)
            if not trial.state.is_finished():
                raise _Incompatible("not finished")
            found.append((fork.point(trial.params), trial))
        except _Incompatible as reason:
            reasons.append(str(reason))
    placed = fork.placed(found) if found else ()
    return Carried(trials=tuple(placed), count=len(found), left=tally(reasons))


_Found = tuple[dict[str, Any], FrozenTrial]
"""A point of the fork's space, and the trial that trained it."""


@dataclass(frozen=True)
class _Fork:
    """The fork of ``study``, whose fingerprint has ``values``."""

    plan: Plan
    study: str
    values: Mapping[str, Any]

    def point(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the point of the fork's space that trains what ``params`` trained."""
        space = self.plan.spec.space
        params = {name: _snapped(space.parameters.get(name), v) for name, v in params.items()}
        adapter = self.plan.adapter
        old = adapter.trained(self.values, params)

        def choose(name: str, parameter: Parameter) -> Any:
            return params[name] if name in params else setting_of(old, space.setting(name))

        point = space.walk(choose)
        try:
            self.plan.spec.space.check(point)
            new = adapter.would_train(point, source=f"study {self.plan.spec.name}")
        except (SpaceError, ConfigError) as error:
            raise _Incompatible(str(error)) from None
        changed = differences(old, new)
        if changed:
            raise _Incompatible(changed[0])
        return point

    def placed(self, found: Sequence[_Found]) -> list[FrozenTrial]:
        left = list(found)
        placed: list[FrozenTrial] = []
        for number in range(len(self.plan.spec.defaults)):
            default = self.plan.required_params(number)
            same = next((one for one in left if point_of(one[0]) == point_of(default)), None)
            if same is None:
                seed = trial_seed(self.plan.settings.search.seed, number)
                placed.append(_waiting(number, default, seed))
            else:
                left.remove(same)
                placed.append(self._carried(number, *same))
        first = len(placed)
        return placed + [self._carried(first + n, *one) for n, one in enumerate(left)]

    def _carried(self, number: int, point: Mapping[str, Any], trial: FrozenTrial) -> FrozenTrial:
        parameters = self.plan.spec.space.parameters
        made = copy.copy(trial)
        made.number = number
        made.params = dict(point)
        made.distributions = {name: to_distribution(parameters[name]) for name in point}
        # The other study's files, order, supervisors and states.
        left = (ENQUEUED, LEARNED, ORDER, OWNER, PAUSE)
        attributes = {k: v for k, v in trial.user_attrs.items() if k not in left}
        made.user_attrs = {**attributes, CARRIED: {"study": self.study, "trial": trial.number}}
        # Notes of samplers and pruners' rungs belong to the old numbers and space.
        made.system_attrs = {k: v for k, v in trial.system_attrs.items() if _stays(k)}
        return made


def _stays(key: str) -> bool:
    return key == WOULD_PRUNE or key.startswith(_OPTUNAS)


def _blocked(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return why no trial at all can be taken over; "" if some may be."""
    if old.get("data") != new.get("data"):
        return "the data or its split is another one"
    # With another objective, metric or trainer no values can be compared.
    fixed = [{k: v for k, v in one.items() if k not in _PER_TRIAL} for one in (old, new)]
    return "; ".join(differences(*fixed))


def _snapped(parameter: Parameter | None, value: Any) -> Any:
    return parameter.snapped(value) if isinstance(parameter, Float) else value


def _waiting(number: int, params: Mapping[str, Any], seed: int) -> FrozenTrial:
    """Return a trial that waits to be run, as the ledger makes it."""
    trial = create_trial(
        state=TrialState.WAITING,
        user_attrs={SEED: seed, ATTEMPT: 0},
        system_attrs={FIXED_PARAMS: dict(params)},
    )
    trial.number = number
    return trial
