"""How much each hyperparameter matters for being among the best tenth, with bootstrap intervals.

Measured by Optuna's PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255; with conditions: 2026,
arXiv:2601.20800) on the trials that ran their full budget. It compares how a parameter is spread in
the best tenth with how it is spread in all, so it sees what the sampler tried: with few trials the
shares are mostly luck, which the intervals show: medians and 95 % percentile intervals of trials
drawn with replacement.
"""

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.core.trials import TrialRecord
from studies.planning.plan import Plan
from studies.search.optuna_bridge import to_distribution
from studies.search.study_views import StudyView

ENOUGH = 10
"""Trials below which nothing is said: the best tenth would be no trial at all."""
MOST = 500
"""Of more trials so many are taken, drawn once: a minute saved, and the intervals hardly wider."""
DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much one parameter matters.

    Attributes:
        name: of the parameter.
        value: its share of the importance of all, 0 to 1: the median of the draws.
        low: lower end of the interval.
        high: upper end.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much the parameters matter.

    Attributes:
        shares: of the parameters, the greatest first; empty where there are too few trials.
        trials: how many were looked at.
        draws: how often they were drawn anew.
    """

    shares: tuple[Share, ...]
    trials: int
    draws: int


def importance(
    plan: Plan, search: Sequence[TrialRecord], *, draws: int = DRAWS, seed: int = 0
) -> Importance:
    """Return the importance of the parameters of ``plan``'s space.

    Args:
        plan: has the space and the direction.
        search: the records of the search.
        draws: of the bootstrap, >= 1.
        seed: of the draws.
    """
    complete = [r for r in search if r.state == "COMPLETE" and r.value is not None]
    chance = random.Random(seed)
    if len(complete) > MOST:
        complete = chance.sample(complete, MOST)
    if len(complete) < ENOUGH or len({record.value for record in complete}) < 2:
        return Importance(shares=(), trials=len(complete), draws=0)
    kinds = {name: to_distribution(one) for name, one in plan.spec.space.parameters.items()}
    active = [{name: kinds[name] for name in record.params} for record in complete]
    trials = list(zip(complete, active, strict=True))
    drawn = [_measure(plan, chance.choices(trials, k=len(trials))) for _ in range(draws)]
    shares = []
    for name in (one for one in kinds if any(one in params for params in active)):
        values = sorted(one.get(name, 0.0) for one in drawn)
        low, middle, high = (_quantile(values, share) for share in (0.025, 0.5, 0.975))
        shares.append(Share(name=name, value=middle, low=low, high=high))
    shares.sort(key=lambda share: (-share.value, -share.high))
    return Importance(shares=tuple(shares), trials=len(trials), draws=draws)


_Drawn = tuple[TrialRecord, Mapping[str, BaseDistribution]]


def _measure(plan: Plan, drawn: Sequence[_Drawn]) -> dict[str, float]:
    # Each with a number of its own: a trial that was drawn twice counts twice.
    trials = [
        FrozenTrial(
            number=number,
            trial_id=number,
            state=TrialState.COMPLETE,
            value=record.value,
            datetime_start=record.started,
            datetime_complete=record.ended,
            params=record.params,
            distributions=dict(distributions),
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        for number, (record, distributions) in enumerate(drawn)
    ]
    direction = StudyDirection[plan.spec.direction.upper()]
    study = StudyView(trials, directions=[direction]).as_study()
    with warnings.catch_warnings():
        # A branch of few trials: the intervals say it better.
        warnings.simplefilter("ignore")
        return dict(optuna.importance.get_param_importances(study))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]
