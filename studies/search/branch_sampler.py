"""Sampling within the branches of a conditional space.

Most samplers take a space for one fixed set of parameters. On a space with conditions Optuna hands
them what all trials have in common, and the rest is drawn at random: with a learning rate for each
optimizer, nearly everything. Here the space is cut into branches instead, one for each combination
of the scientific choice and the choices that conditions depend on. A branch has a fixed set of
parameters, and a sampler of its own that sees its trials alone. It is what TPE's ``group`` does for
TPE, and it is fair between the choices that a study compares: each is tuned by itself.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Choice, Space
from studies.search.optuna_bridge import to_distribution
from studies.search.study_views import Show, ShownSampler, view
from studies.storage.optuna_internals import required_params

Branch = dict[str, Any]
"""The choices that make a branch, by parameter, in the order of the space."""

MakeSampler = Callable[[Branch], BaseSampler]
"""Makes the sampler of one branch."""


def deciding(space: Space, scientific: str) -> tuple[str, ...]:
    """Return the parameters whose choices make the branches: the compared one and conditions'."""
    conditions = {p.when.parameter for p in space.parameters.values() if p.when is not None}
    return tuple(name for name in space.parameters if name in conditions | {scientific})


def branches(space: Space, scientific: str) -> list[Branch]:
    """Return all branches of ``space``, in its order."""
    found: list[Branch] = [{}]
    for name in deciding(space, scientific):
        parameter = space.parameters[name]
        assert isinstance(parameter, Choice)
        found = [
            {**branch, **extra}
            for branch in found
            for extra in (
                [{name: value} for value in parameter.choices]
                if name in space.active(branch)
                else [{}]
            )
        ]
    return found


class BranchSampler(BaseSampler):
    """Chooses a branch, then has the branch's own sampler propose the rest.

    Args:
        space: the study's space.
        scientific: the parameter that the study compares.
        make: makes the sampler of a branch; it is asked to ``sample_relative`` only.
        seed: of the choice of branches, and of what the branch's sampler leaves open.
        numbers_only: leave the branch's choices to chance: its sampler knows numbers alone.
        balanced: take the branch with the fewest trials; else TPE chooses between branches, from
            all trials.
        whole: there is one branch, the space; for spaces without conditions.
        show: how the branch's sampler is shown its trials, see ``views.py``; None:
            as they are.
        imported: trials from elsewhere that the samplers are shown as well.

    The branch is chosen among those that a trial's required params leave open.
    """

    def __init__(
        self,
        space: Space,
        scientific: str,
        make: MakeSampler,
        *,
        seed: int,
        numbers_only: bool = False,
        balanced: bool = False,
        whole: bool = False,
        show: Show | None = None,
        imported: Sequence[FrozenTrial] = (),
    ) -> None:
        self._space = space
        self._deciding = () if whole else deciding(space, scientific)
        self._show = show
        self._imported = imported if show is not None else ()
        self._make = make
        self._numbers_only = numbers_only
        self._balanced = balanced
        self._rest = RandomSampler(seed=seed)
        self._proposed: dict[int, dict[str, Any]] = {}
        count = len(branches(space, scientific))
        tpe = TPESampler(seed=seed, n_startup_trials=max(10, 2 * count))
        self._chooser = ShownSampler(tpe, imported=self._imported)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: what a trial asks for is known only when it asks."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing, see ``sample_independent``."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return what the branch proposes; at random what it leaves open or the space lacks.

        All parameters of a trial are proposed together, when it asks for the first one.
        """
        parameter = self._space.parameters.get(param_name)
        if parameter is not None and to_distribution(parameter) == param_distribution:
            if trial.number not in self._proposed:
                self._proposed[trial.number] = self._propose(study, trial)
            proposed = self._proposed[trial.number]
            if param_name in proposed:
                return proposed[param_name]
        return self._rest.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Forget what was proposed for ``trial``."""
        self._proposed.pop(trial.number, None)

    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return the branch's choices, and what its sampler proposes."""
        required = required_params(trial)
        branch = self._choose(study, trial, required)
        distributions = {
            name: to_distribution(self._space.parameters[name])
            for name in self._space.active(branch)
            if name not in branch
        }
        inner = {
            name: distribution
            for name, distribution in distributions.items()
            if not distribution.single()
            and not (self._numbers_only and isinstance(distribution, CategoricalDistribution))
        }
        if not inner:
            return branch
        trials = _inside([*self._imported, *_trials(study)], branch, without=trial)
        if self._show is not None:
            trials = self._show(trials, study.directions)
        shown = view(study, trials, prefix=f"branch:{branch}:")
        return {**self._make(branch).sample_relative(shown, trial, inner), **branch}

    def _choose(self, study: Study, trial: FrozenTrial, required: Mapping[str, Any]) -> Branch:
        branch: Branch = {}
        for name in self._deciding:
            if name not in self._space.active(branch):
                continue
            if name in required:
                branch[name] = required[name]
            elif self._balanced:
                branch[name] = self._fewest(study, trial, branch, name)
            else:
                distribution = to_distribution(self._space.parameters[name])
                branch[name] = self._chooser.sample_independent(study, trial, name, distribution)
        return branch

    def _fewest(self, study: Study, trial: FrozenTrial, branch: Branch, name: str) -> Any:
        parameter = self._space.parameters[name]
        assert isinstance(parameter, Choice)
        others = _inside(_trials(study), branch, without=trial)
        counts = Counter(other.params.get(name) for other in others)
        return min(parameter.choices, key=lambda value: counts[value])  # equal: the first


def _trials(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def _inside(
    trials: Sequence[FrozenTrial], branch: Branch, *, without: FrozenTrial
) -> list[FrozenTrial]:
    """Return the trials of ``branch``, but ``without``, which has no params yet."""
    return [
        trial
        for trial in trials
        if trial.number != without.number
        and all(name in trial.params and trial.params[name] == branch[name] for name in branch)
    ]
