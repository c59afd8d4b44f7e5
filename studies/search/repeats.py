"""Random points that were learned from an earlier study are not drawn again."""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import LEARNED

_DRAWS = 20
"""Values that are drawn at most for a point's last parameter. A choice may have only one value left
that was not learned, and the space may have none."""


class UnrepeatedSampler(BaseSampler):
    """Draws the last parameter of a point again, where the point is one of the learned trials.

    An earlier study with the same seed drew its best configuration from the same random numbers.
    Trained twice, it would give the same value to the last digit.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Return a value with which the trial's params are not those of a learned trial."""
        learned = [
            other.params
            for other in study.get_trials(deepcopy=False)
            if LEARNED in other.user_attrs and other.number != trial.number
        ]
        value = None
        for _ in range(_DRAWS):
            value = self._sampler.sample_independent(study, trial, name, distribution)
            if {**trial.params, name: value} not in learned:
                break
        return value

    def reseed_rng(self) -> None:
        """Ask the sampler."""
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the sampler."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler."""
        self._sampler.after_trial(study, trial, state, values)
