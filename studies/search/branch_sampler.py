"""Sampling within the branches of a conditional space."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Choice
from studies.core.attributes import LEARNED
from studies.search.aligned import Aligned
from studies.search.branches import Branch, Search, deciding
from studies.search.learned_trials import LearnedTrials
from studies.search.optuna_bridge import to_distribution
from studies.search.sampler_kinds import SamplerKind
from studies.search.screening import Screening
from studies.search.study_views import StudyView, TpeViewSampler
from studies.search.warping import half_ranked
from studies.storage.optuna_internals import required_params

_DRAWS = 3
"""Points of a branch that are proposed at most, until one was not learned. An earlier study with
the same seed had its best configuration at a point of the same sequence, and training it twice
gives the same value to the last digit."""

MakeSampler = Callable[[Branch], BaseSampler]
"""Makes the sampler of one branch."""


class BranchSampler(BaseSampler):
    """Chooses a branch, then has the branch's own sampler propose the rest.

    If the sampler's kind aligns branches, one model of all of them proposes branch and rest
    together, for a trial that may have any.

    Args:
        make: makes the sampler of a branch, of which only ``sample_relative`` is called.
        seed: of the choice of branches, and of what the branch's sampler leaves open.
    """

    def __init__(self, search: Search, kind: SamplerKind, make: MakeSampler, *, seed: int) -> None:
        self._space, self._kind = search.space, kind
        # Without conditions the space may be searched as one branch.
        splits = kind.splits(search)
        self._deciding = deciding(search.space, search.scientific) if splits else ()
        self._imported = search.imported if kind.learns_imported else ()
        self._learned = learned_trials(search, kind)
        self._screening = (
            Screening(
                space=search.space,
                scientific=search.scientific,
                seed=search.seed,
                guides=search.guides,
                defaults=search.defaults,
            )
            if kind.screens
            else None
        )
        aligns = kind.aligns and search.conditional
        self._aligned = Aligned(search.space, search.scientific) if aligns else None
        self._startup = min(search.branches, max(10, search.trials // 4))
        self._make, self._seed = make, search.seed
        self._rest = RandomSampler(seed=seed)
        self._proposed: dict[int, dict[str, Any]] = {}
        # At random until it has seen two trials of each branch on average.
        tpe = TPESampler(seed=seed, n_startup_trials=max(10, 2 * search.branches))
        self._chooser = TpeViewSampler(tpe, imported=self._imported, learned=self._learned)

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
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Return what the branch proposes, or a random value if it proposes none."""
        parameter = self._space.parameters.get(name)
        if parameter is not None and to_distribution(parameter) == distribution:
            # All parameters of a trial are proposed together when it asks for the first one.
            if trial.number not in self._proposed:
                self._proposed[trial.number] = self._propose(study, trial)
            proposed = self._proposed[trial.number]
            if name in proposed:
                return proposed[name]
        return self._rest.sample_independent(study, trial, name, distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget what was proposed for ``trial``."""
        self._proposed.pop(trial.number, None)

    # Most samplers take a fixed set of parameters. On a space with conditions Optuna gives them
    # what all trials have in common, and draws the rest at random: with a learning rate for each
    # optimizer, nearly everything. The sampler of a branch sees only the trials of that branch.
    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        required = required_params(trial)
        if not required and (found := self._across(study, trial)):
            return found
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
            and not (self._kind.numbers_only and isinstance(distribution, CategoricalDistribution))
        }
        others = [o for o in study.get_trials(deepcopy=False) if o.number != trial.number]
        learned = [o.params for o in others if LEARNED in o.user_attrs]
        found = branch
        for _ in range(_DRAWS):
            proposed = self._inside_branch(study, trial, branch, inner) if inner else {}
            if self._screening is not None:
                proposed = self._screening.point(branch, proposed, others, study.directions)
            found = {**proposed, **branch}
            if found not in learned:
                break
        return found

    def _across(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return what one model of all branches proposes; nothing if it has seen too little."""
        if self._aligned is None:
            return {}
        trials = [o for o in study.get_trials(deepcopy=False) if o.number != trial.number]
        shown = [*self._imported, *trials]
        # The branches come in turn first: a model that has seen three of nine stays with those.
        if len(shown) < self._startup:
            return {}
        if self._kind.show is not None:
            shown = self._kind.show(shown, study.directions)
        seen = [one for one in (self._aligned.seen(o, self._seed) for o in shown) if one]
        # Only here: without branches, on a smooth function, it loses (Branin: .0016 for .00003).
        seen = half_ranked(seen, study.directions)
        view = StudyView(seen, study=study, prefix="aligned:").as_study()
        point = self._make({}).sample_relative(view, trial, self._aligned.coordinates)
        return self._aligned.params(point) if point else {}

    def _inside_branch(
        self,
        study: Study,
        trial: FrozenTrial,
        branch: Branch,
        inner: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return what the branch's sampler proposes from the branch's trials."""
        own = study.get_trials(deepcopy=False)
        learned = self._learned.shown(own, study.directions)
        trials = _inside([*self._imported, *learned, *own], branch, without=trial)
        if self._kind.show is not None:
            trials = self._kind.show(trials, study.directions)
        shown = StudyView(trials, study=study, prefix=f"branch:{branch}:").as_study()
        return self._make(branch).sample_relative(shown, trial, inner)

    def _choose(self, study: Study, trial: FrozenTrial, required: Mapping[str, Any]) -> Branch:
        branch: Branch = {}
        for name in self._deciding:
            if name not in self._space.active(branch):
                continue
            if name in required:
                branch[name] = required[name]
            elif self._kind.sequence or self._kind.aligns:
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


def learned_trials(search: Search, kind: SamplerKind) -> LearnedTrials:
    """Return what the sampler is shown of earlier studies: nothing if it does not learn so."""
    guides = search.guides if kind.learns_imported else ()
    return LearnedTrials(space=search.space, guides=guides, defaults=search.defaults)


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
