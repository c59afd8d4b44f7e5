"""What a screening search makes of a quasi-random point, from the trials before it.

A few trials do not tune four nuisance parameters of each choice that is compared. So the choices
decide together what they share, such as the learning rate's schedule. Measured on the space of
``optim_search``, see ``benchmarks/simulated/``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Choice, Float, Int, Parameter, Space
from studies.search.branches import Branch, branches, deciding
from studies.search.guides import Guide, weights
from studies.search.ranges import fraction_of, value_at
from studies.search.scores import normal_scores, seen_value, sign_of

# Trials of a branch before it takes the leading value. With 2, 3 and 4 the mean regret is .47, .45
# and .50 points (prototype "screen 1" to "screen 3", table and drawn instances, 20 seeds each).
_BALANCED = 3
# Trials of each value, in all branches together, before one of them leads.
_EACH = 3
# From its 6th trial a branch is searched around its best: in a box of .6 of each range. With 13
# trials each this takes a fifth of the regret away, with 7 it makes no difference. A box of .4
# after 4 trials loses.
_WIDE, _BOX = 5, 0.6
# An earlier study with this weight is trusted: then its leading values are taken at once, and the
# box begins with a branch's 4th trial.
_TRUSTED, _TOLD = 0.6, 3


@dataclass(frozen=True, kw_only=True)
class Screening:
    """Changes a point that a sequence proposed for a branch.

    - A choice takes each of its values equally often in the branch's first trials. Then it takes
      the value that leads over all branches: the one with the best mean normal score of the ranks
      of its trials, each rank within its own branch. An earlier study's trials count by its weight.
    - A number is a point of the sequence, at first of its whole range, later of a box around the
      branch's best trial.

    Several objectives give no single best trial and no ranks. Then choices stay balanced, and
    ranges stay whole.

    Attributes:
        guides: earlier studies.
        defaults: number of the first trials, which are choices' defaults.
    """

    space: Space
    scientific: str
    seed: int
    guides: Sequence[Guide] = ()
    defaults: int = 0

    def point(
        self,
        branch: Branch,
        proposed: Mapping[str, Any],
        trials: Sequence[FrozenTrial],
        directions: Sequence[StudyDirection],
    ) -> dict[str, Any]:
        """Return the branch's parameters for one more trial.

        Args:
            branch: of the trial.
            proposed: values of its numbers, from a sequence.
            trials: all others of the study.
        """
        own = [trial for trial in trials if self._branch(trial) == branch]
        names = [name for name in self.space.active(branch) if name not in branch]
        single = len(directions) == 1
        scores = self._scores(trials, directions) if single else {}
        guides = self.guides if single else ()
        trust = weights(guides, trials, directions[0], self.defaults)
        trusted = max(trust, default=0.0) >= _TRUSTED
        found = dict(proposed)
        best = max(
            (t for t in own if t.state is TrialState.COMPLETE and t.number in scores),
            key=lambda trial: scores[trial.number],
            default=None,
        )
        for name in names:
            parameter = self.space.parameters[name]
            if isinstance(parameter, Choice):
                leader = self._leading(name, parameter, trials, scores, trust)
                had = [trial.params[name] for trial in own if name in trial.params]
                led = leader is not None and (trusted or len(own) >= _BALANCED)
                found[name] = leader if led else self._rarest(parameter, had, branch)
            elif name in found and best is not None and len(own) >= (_TOLD if trusted else _WIDE):
                found[name] = _around(parameter, best.params[name], found[name])
        return found

    def _leading(
        self,
        name: str,
        parameter: Choice,
        trials: Iterable[FrozenTrial],
        scores: Mapping[int, float],
        trust: Sequence[float],
    ) -> Any:
        """Return the value that leads; None: some were not tried often enough."""
        count: dict[Any, float] = dict.fromkeys(parameter.choices, 0.0)
        total = dict(count)

        def add(value: Any, score: float, weight: float) -> None:
            count[value] += weight
            total[value] += weight * score

        for trial in trials:
            if trial.number in scores and name in trial.params:
                add(trial.params[name], scores[trial.number], 1.0)
        for guide, weight in zip(self.guides, trust, strict=False):
            for params, score in guide.scored(name):
                add(params[name], score, weight)
        if min(count.values()) < _EACH:
            return None
        return max(count, key=lambda value: total[value] / count[value])  # equal: the first

    def _rarest(self, parameter: Choice, had: Sequence[Any], branch: Branch) -> Any:
        """Return the value with the fewest trials; which of several differs by branch."""
        counts, values = Counter(had), parameter.choices
        # One round of trials has all values then, which none of its branches could have alone.
        shift = branches(self.space, self.scientific).index(branch) + self.seed
        turned = [values[(place + shift) % len(values)] for place in range(len(values))]
        return min(turned, key=lambda value: counts[value])

    def _scores(
        self, trials: Iterable[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> dict[int, float]:
        """Return the normal score of each trial's rank within its branch, by number; best: high."""
        values = {
            trial.number: (tuple(self._branch(trial).items()), value)
            for trial in trials
            if (value := seen_value(trial, sign_of(directions[0]))) is not None
        }
        return normal_scores(values)

    def _branch(self, trial: FrozenTrial) -> Branch:
        names = deciding(self.space, self.scientific)
        return {name: trial.params[name] for name in names if name in trial.params}


def _around(parameter: Parameter, best: float, proposed: float) -> float:
    """Return ``proposed`` as a point of a box around ``best`` that lies within the range."""
    assert isinstance(parameter, Float | Int)
    half = _BOX / 2
    middle = min(max(fraction_of(parameter, best), half), 1 - half)
    at = middle + _BOX * (fraction_of(parameter, proposed) - 0.5)
    return value_at(parameter, at)
