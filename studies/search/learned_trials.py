"""An earlier study's trials as a sampler that learns from trials sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Space
from studies.search.guides import Guide, weights
from studies.search.imported import Result, as_trials

_LEAST = 2
"""Complete trials of this study before an earlier one's ranks can be turned into values."""


@dataclass(frozen=True, kw_only=True)
class LearnedTrials:
    """The trials of earlier studies that a sampler is shown, more of them the more they agree.

    Attributes:
        space: of this study.
        guides: the earlier studies.
        defaults: number of trials that are choices' defaults.
    """

    space: Space
    guides: Sequence[Guide] = ()
    defaults: int = 0

    def shown(
        self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        """Return the earlier trials that are shown beside ``trials``.

        As many of a study's trials as its weight says, spread evenly over their ranks. Each has the
        value with the same rank among the values of ``trials``.
        """
        complete = [t.values[0] for t in trials if t.state is TrialState.COMPLETE and t.values]
        if not self.guides or len(directions) > 1 or len(complete) < _LEAST:
            return []
        found: list[Result] = []
        upwards = directions[0] is StudyDirection.MAXIMIZE
        trusted = weights(self.guides, trials, directions[0], self.defaults)
        for guide, weight in zip(self.guides, trusted, strict=True):
            ordered = guide.ordered()
            wanted = round(weight * len(ordered))
            for place in (int((n + 0.5) * len(ordered) / wanted) for n in range(wanted)):
                rank = (place + 0.5) / len(ordered)
                value = float(np.quantile(complete, rank if upwards else 1 - rank))
                found.append(
                    Result(params=ordered[place].params, values=[value], source=guide.study.study)
                )
        return as_trials(found, self.space)
