"""Whether an earlier study tells where this one's good trials are, and by how much to trust it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search_spaces.space import Choice, Float, Int, Parameter, Space
from studies.search.earlier import EarlierStudy, EarlierTrial
from studies.search.ranges import fraction_of
from studies.search.scores import normal_scores, seen_value, sign_of

Branch = tuple[Any, ...]

_NEAREST = 3
"""Earlier trials that predict a point's score: the mean of theirs."""
_PRIOR = 15.0
"""Weight of the prior that studies do not agree; a pair predicted to be 1 apart has weight 1."""
_FULL = 0.45
"""Agreement from which on an earlier trial counts as much as one of this study."""
_OLDEST = 60
"""Trials of a branch that are compared at most: all pairs of them are."""


class Guide:
    """Predicts trials from those of an earlier study.

    Args:
        names: the parameters whose values make the branches, see ``deciding``.
    """

    def __init__(self, study: EarlierStudy, space: Space, names: Sequence[str]) -> None:
        self.study, self._space, self._names = study, space, names
        values = {
            trial.number: (self._branch(trial.params), trial.seen)
            for trial in study.trials
            if all(name in trial.params for name in self._active(trial.params))
        }
        self.scores = normal_scores(values)
        self._rows: dict[Branch, list[int]] = defaultdict(list)
        for number, (branch, _) in values.items():
            self._rows[branch].append(number)
        self._params = {trial.number: trial.params for trial in study.trials}
        self._known: dict[str, float | None] = {}

    def predict(self, params: Mapping[str, Any]) -> float | None:
        """Return the mean score of the earlier trials nearest to ``params``; None: there is none.

        They are of the same branch. A number is 0 to 1 on its scale; other choices are 1 apart.
        """
        key = repr(sorted(params.items()))
        if key not in self._known:
            self._known[key] = self._nearest(params)
        return self._known[key]

    def ordered(self) -> list[EarlierTrial]:
        """Return the trials that have all their parameters, worst first."""
        return sorted(
            (trial for trial in self.study.trials if trial.number in self.scores),
            key=lambda trial: (trial.full, trial.seen),
        )

    def scored(self, name: str) -> list[tuple[Mapping[str, Any], float]]:
        """Return the params and the score of each earlier trial that has parameter ``name``."""
        found = ((self._params[number], score) for number, score in self.scores.items())
        return [(params, score) for params, score in found if name in params]

    def weight(self, trials: Iterable[FrozenTrial], direction: StudyDirection) -> float:
        """Return how much an earlier trial counts beside one of this study: 0 to 1.

        The agreement is the mean, over all pairs of trials of the same branch, of +1 if they are
        ordered as predicted and -1 if not; to it comes a prior of a few pairs.
        """
        branches: dict[Branch, list[tuple[float, float]]] = defaultdict(list)
        for trial in trials:
            value = seen_value(trial, sign_of(direction))
            predicted = None if value is None else self.predict(trial.params)
            if value is not None and predicted is not None:
                branches[self._branch(trial.params)].append((value, predicted))
        total, pairs = 0.0, _PRIOR
        for of_branch in branches.values():
            for (value, predicted), (other, other_predicted) in combinations(
                of_branch[:_OLDEST], 2
            ):
                if value != other and predicted != other_predicted:
                    same = (value < other) == (predicted < other_predicted)
                    apart = abs(predicted - other_predicted)
                    total += apart if same else -apart
                    pairs += apart
        return min(1.0, max(0.0, total / pairs / _FULL))

    def _nearest(self, params: Mapping[str, Any]) -> float | None:
        rows = self._rows.get(self._branch(params), [])
        if not rows:
            return None
        names = [n for n in self._active(params) if n not in self._names and n in params]
        apart = np.zeros(len(rows))
        for name in names:
            parameter = self._space.parameters[name]
            at = _place(parameter, params[name])
            others = [_place(parameter, self._params[row][name]) for row in rows]
            apart += [_apart(at, other) for other in others]
        order = np.argsort(apart, kind="stable")[:_NEAREST]
        return float(np.mean([self.scores[rows[int(i)]] for i in order]))

    def _active(self, params: Mapping[str, Any]) -> list[str]:
        return list(self._space.active(params))

    def _branch(self, params: Mapping[str, Any]) -> Branch:
        return tuple((name, params[name]) for name in self._names if name in params)


def _place(parameter: Parameter, value: Any) -> Any:
    """Return where ``value`` lies in its range, 0 to 1; a choice that is not a number: itself."""
    if isinstance(parameter, Choice):
        numbers = sorted(one for one in parameter.choices if isinstance(one, int | float))
        if 1 < len(numbers) == len(parameter.choices):
            return numbers.index(value) / (len(numbers) - 1)
        return value
    assert isinstance(parameter, Float | Int)
    return fraction_of(parameter, float(value))


def _apart(one: Any, other: Any) -> float:
    if isinstance(one, float) and isinstance(other, float):
        return (one - other) ** 2
    return float(one != other)


def weights(
    guides: Iterable[Guide],
    trials: Iterable[FrozenTrial],
    direction: StudyDirection,
    defaults: int,
) -> list[float]:
    """Return the weight of each of ``guides``; the first ``defaults`` trials do not count.

    Nearly everything that was tuned is better than a default, in related studies and in others.
    """
    judged = [trial for trial in trials if trial.number >= defaults]
    return [guide.weight(judged, direction) for guide in guides]


def guides(studies: Iterable[EarlierStudy], space: Space, names: Sequence[str]) -> list[Guide]:
    """Return a guide for each of ``studies``."""
    return [Guide(study, space, names) for study in studies]
