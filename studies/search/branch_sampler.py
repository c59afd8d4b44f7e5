"""Sampling within the branches of a conditional space.

Most samplers take a fixed set of parameters. On a space with conditions Optuna gives them what all
trials have in common, and draws the rest at random: with a learning rate for each optimizer, nearly
everything. So the space is cut into branches, one for each combination of the scientific choice and
the choices that conditions depend on. The sampler of a branch sees only the trials of that branch.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Choice, Space
from studies.search.branches import Branch, branches, deciding
from studies.search.optuna_bridge import to_distribution
from studies.search.screening import Screening
from studies.search.study_views import Show, StudyView, TpeViewSampler
from studies.storage.optuna_internals import required_params

MakeSampler = Callable[[Branch], BaseSampler]
"""Makes the sampler of one branch."""


class BranchSampler(BaseSampler):
    """Chooses a branch, then has the branch's own sampler propose the rest.

    Args:
        make: makes the sampler of a branch, of which only ``sample_relative`` is called.
        seed: of the choice of branches, and of what the branch's sampler leaves open.
        numbers_only: draw the branch's choices at random, as its sampler takes only numbers.
        balanced: take the branch with the fewest trials; else TPE chooses one from all trials.
        whole: there is one branch, the space; for spaces without conditions.
        show: how the branch's sampler is shown its trials; None: as they are.
        screening: changes what the branch's sampler proposes and adds the choices; None: nothing.

    The branch is one that a trial's required params allow.
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
        screening: Screening | None = None,
    ) -> None:
        self._space = space
        self._screening = screening
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
        self._chooser = TpeViewSampler(tpe, imported=self._imported)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: the branch is known only when a trial asks for its parameters."""
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
        """Return what the branch proposes, or a random value if it proposes none.

        All parameters of a trial are proposed together when it asks for the first one.
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
        proposed = self._inside_branch(study, trial, branch, inner) if inner else {}
        if self._screening is not None:
            others = [o for o in study.get_trials(deepcopy=False) if o.number != trial.number]
            proposed = self._screening.point(branch, proposed, others, study.directions)
        return {**proposed, **branch}

    def _inside_branch(
        self,
        study: Study,
        trial: FrozenTrial,
        branch: Branch,
        inner: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return what the branch's sampler proposes from the branch's trials."""
        trials = _inside(
            [*self._imported, *study.get_trials(deepcopy=False)], branch, without=trial
        )
        if self._show is not None:
            trials = self._show(trials, study.directions)
        shown = StudyView(trials, study=study, prefix=f"branch:{branch}:").as_study()
        return self._make(branch).sample_relative(shown, trial, inner)

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
        others = _inside(study.get_trials(deepcopy=False), branch, without=trial)
        counts = Counter(other.params.get(name) for other in others)
        return min(parameter.choices, key=lambda value: counts[value])  # equal: the first


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
