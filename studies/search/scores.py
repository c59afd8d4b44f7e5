"""How good trials look beside others of their branch: normal scores of their ranks."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from statistics import NormalDist
from typing import TypeVar

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.search.failures import failed_by_itself

Key = TypeVar("Key", bound=Hashable)
Group = TypeVar("Group", bound=Hashable)


def sign_of(direction: StudyDirection) -> int:
    """Return 1 if greater values are better, else -1."""
    return 1 if direction is StudyDirection.MAXIMIZE else -1


def seen_value(trial: FrozenTrial, sign: int) -> float | None:
    """Return a trial's value, greater is better; None: it has none yet, or failed by chance."""
    if failed_by_itself(trial):
        return -math.inf
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.values:
        return sign * float(trial.values[0])
    return None


def normal_scores(values: Mapping[Key, tuple[Group, float]]) -> dict[Key, float]:
    """Return the normal score of each value's rank within its group; the best value: the highest.

    Args:
        values: by any key the group and the value, greater is better.
    """
    groups: dict[Group, dict[Key, float]] = defaultdict(dict)
    for key, (group, value) in values.items():
        groups[group][key] = value
    found: dict[Key, float] = {}
    for of_group in groups.values():
        place = _mean_ranks(of_group.values())
        for key, value in of_group.items():
            found[key] = _NORMAL.inv_cdf(place[value] / (len(of_group) + 1))
    return found


_NORMAL = NormalDist()


def _mean_ranks(values: Iterable[float]) -> dict[float, float]:
    """Return the rank of each value, from 1; of equal ones the mean rank."""
    first: dict[float, int] = {}
    count: dict[float, int] = defaultdict(int)
    for rank, value in enumerate(sorted(values), start=1):
        first.setdefault(value, rank)
        count[value] += 1
    return {value: first[value] + (count[value] - 1) / 2 for value in first}
