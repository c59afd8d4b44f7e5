"""TPE that shuns the neighbourhood of failed trials.

Shown as poor trials (``studies/search/study_views.py``), failures keep TPE away from where they are
frequent. But a good region often ends at one that fails, and along its border every second proposal
failed still, more than with random search. So a proposal whose nearest trial failed is made again.
"""

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from studies.search.failures import failed_by_itself
from studies.search.study_views import ShownSampler
from studies.storage.optuna_internals import required_params

TRIES = 10
"""How often a proposal is made again; the last one is taken, so that no region is closed."""


class WarySampler(ShownSampler):
    """Has TPE propose again, a few times, what lies nearest to a failed trial."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal whose nearest trial did not fail, if there is one among a few."""
        proposed = super().sample_relative(study, trial, search_space)
        past = [
            other
            for other in [*self.imported, *study.get_trials(deepcopy=False)]
            if other.state in (TrialState.COMPLETE, TrialState.PRUNED) or failed_by_itself(other)
        ]
        if not proposed or not any(map(failed_by_itself, past)):
            return proposed
        required = required_params(trial)
        for _ in range(TRIES):
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
                total += (_share(one[name], distribution) - _share(other[name], distribution)) ** 2
    return total


def _share(value: float, distribution: Any) -> float:
    """Return where ``value`` lies between the bounds, 0 to 1."""
    ends = (distribution.low, value, distribution.high)
    low, at, high = map(math.log, ends) if distribution.log else ends
    return float((at - low) / (high - low))
