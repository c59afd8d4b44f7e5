"""How much each hyperparameter matters for being among the best tenth, with bootstrap intervals.

Optuna's PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255; with conditions: 2026, arXiv:2601.20800)
on the trials that ran their full budget. It compares how a parameter is spread in the best tenth
and in all trials, so it sees what the sampler tried.
"""

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection

from studies.analysis.replay import made_trial
from studies.core.trials import TrialRecord
from studies.search.optuna_bridge import to_distribution
from studies.search.study_views import StudyView
from studies.spec import StudySpec
from studies.statistics.intervals import Direction

ENOUGH = 10
"""With fewer trials there is no figure: the best tenth would be empty."""
MOST = 500
"""At most this number of trials is used: it saves a minute, and intervals are hardly wider."""
DRAWS = 100

Drawn = tuple[TrialRecord, Mapping[str, BaseDistribution]]
"""A trial with the distributions of the parameters that count."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A parameter's fraction of all importance, 0 to 1: median and 95 % interval of the draws."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The parameters, the most important one first; empty if there are too few trials."""

    shares: tuple[Share, ...]
    trials: int
    draws: int


def importance(
    spec: StudySpec, search: Sequence[TrialRecord], *, draws: int = DRAWS, seed: int = 0
) -> Importance:
    """Return the importance of the parameters of the space, from ``draws`` >= 1 samples."""
    complete = [r for r in search if r.complete and r.value is not None]
    chance = random.Random(seed)
    if len(complete) > MOST:
        complete = chance.sample(complete, MOST)
    if len(complete) < ENOUGH or len({record.value for record in complete}) < 2:
        return Importance(shares=(), trials=len(complete), draws=0)
    kinds = {name: to_distribution(one) for name, one in spec.space.parameters.items()}
    trials: list[Drawn] = [
        (record, {name: kinds[name] for name in record.params}) for record in complete
    ]
    # With few trials the shares are mostly luck; trials drawn with replacement show how much.
    drawn = [ped_anova(chance.choices(trials, k=len(trials)), spec.direction) for _ in range(draws)]
    shares = []
    for name in (one for one in kinds if any(one in active for _, active in trials)):
        values = sorted(one.get(name, 0.0) for one in drawn)
        low, middle, high = (_quantile(values, share) for share in (0.025, 0.5, 0.975))
        shares.append(Share(name=name, value=middle, low=low, high=high))
    shares.sort(key=lambda share: (-share.value, -share.high))
    return Importance(shares=tuple(shares), trials=len(trials), draws=draws)


def ped_anova(drawn: Sequence[Drawn], direction: Direction) -> dict[str, float]:
    """Return the importance of each parameter, from trials that ran their full budget."""
    # Each has a number of its own: a trial that was drawn twice counts twice.
    trials = [
        made_trial(
            number,
            {name: record.params[name] for name in distributions},
            distributions,
            value=record.value,
        )
        for number, (record, distributions) in enumerate(drawn)
    ]
    directions = [StudyDirection[direction.upper()]]
    study = StudyView(trials, directions=directions).as_study()
    with warnings.catch_warnings():
        # A branch of few trials: the intervals say it better.
        warnings.simplefilter("ignore")
        return dict(optuna.importance.get_param_importances(study))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]
