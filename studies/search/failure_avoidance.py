"""TPE that avoids the neighbourhood of failed trials."""

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from studies.search.failures import failed_by_itself
from studies.search.study_views import TpeViewSampler, windowed
from studies.storage.optuna_internals import required_params

_TRIES = 10
"""Proposals for one trial; the last one is taken, so that no region is closed."""


class FailureAvoidingSampler(TpeViewSampler):
    """Has TPE propose again what lies nearest to a failed trial."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal whose nearest trial did not fail, if there is one among a few."""
        proposed = super().sample_relative(study, trial, search_space)
        past = [
            other
            for other in windowed(
                [*self._imported, *study.get_trials(deepcopy=False)], study.directions
            )
            if other.state in (TrialState.COMPLETE, TrialState.PRUNED) or failed_by_itself(other)
        ]
        if not proposed or not any(map(failed_by_itself, past)):
            return proposed
        # Shown as poor trials, failures keep TPE away from where they are frequent. But a good
        # region often ends at a failing one, and along that border every second proposal still
        # failed, more than with random search.
        required = required_params(trial)
        for _ in range(_TRIES):
            params = {**proposed, **required}
            nearest = min(past, key=lambda other: _distance(params, other.params, search_space))
            if not failed_by_itself(nearest):
                break
            proposed = super().sample_relative(study, trial, search_space)
        return proposed


def _distance(
    one: Mapping[str, Any], other: Mapping[str, Any], space: Mapping[str, BaseDistribution]
) -> float:
    """Return the squared distance of two points in the parameters that both have, each in 0..1."""
    total = 0.0
    for name, distribution in space.items():
        if name in one and name in other:
            if isinstance(distribution, CategoricalDistribution):
                total += one[name] != other[name]
            else:
                total += (_place(one[name], distribution) - _place(other[name], distribution)) ** 2
    return total


def _place(value: float, distribution: Any) -> float:
    """Return where ``value`` lies between the bounds, 0 to 1."""
    ends = (distribution.low, value, distribution.high)
    low, at, high = map(math.log, ends) if distribution.log else ends
    return float((at - low) / (high - low))
