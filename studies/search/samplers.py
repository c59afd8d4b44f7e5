"""Samplers by name, with their options.

What each makes of a space with conditions:

==========  ========================================================================================
``random``  draws what is active.
``grid``    walks a grid of each branch (``studies/search/grid.py``); it is no sampler of Optuna.
``qmc``     one sequence for each branch, the branches in turn.
``tpe``     models what is active together (``group``).
``gp``      a model for each branch; TPE chooses the branch. One model where there is one branch.
``cmaes``   a population for each branch and for each choice that is compared; TPE chooses the
            branch, and choices inside of a branch are drawn at random.
``nsga2``   a population for each branch; TPE chooses the branch. One where there is one branch.
``auto``    OptunaHub's AutoSampler: it has TPE do it.
==========  ========================================================================================

``gp`` and ``nsga2`` leave out pruned trials by themselves, and so would propose what was pruned
again; here they are told of them as of trials no better than the worst that ran to its end. What
all that learn are told of failed and infeasible trials: ``studies/search/study_views.py``. Several
objectives: all but ``cmaes`` and ``auto``.

A sampler lives for one trial: what it must remember is in the storage. So a resumed study goes on
as one that was never interrupted.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from mnist_core.errors import ConfigError, unknown_name
from search_spaces.space import Choice, Space
from studies.core.goals import Goals
from studies.core.seeds import branch_seed
from studies.search import optuna_bridge
from studies.search.branch_sampler import Branch, BranchSampler, branches
from studies.search.optuna_bridge import check_options, refusals, suggest
from studies.search.study_views import (
    Show,
    ShownSampler,
    as_no_better,
    failed_as_no_better,
    tpe_view,
)
from studies.search.wary import WarySampler

GRID = "grid"
"""The one name here that is no sampler: its trials come as a list."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a sampler must know of the search that it proposes trials for.

    Attributes:
        space: what is searched.
        scientific: the parameter whose choices are compared.
        seed: of the study.
        trials: how many there are to be.
        workers: trials that run at the same time.
        prunes: whether trials may be pruned.
        goals: what trials are judged by.
        imported: results from elsewhere, as trials.
    """

    space: Space
    scientific: str
    seed: int = 0
    trials: int = 100
    workers: int = 1
    prunes: bool = False
    goals: Goals = field(default_factory=lambda: Goals(metric="value"))
    imported: Sequence[FrozenTrial] = ()

    @property
    def choices(self) -> int:
        """How many values are compared."""
        compared = self.space.parameters[self.scientific]
        assert isinstance(compared, Choice)
        return len(compared.choices)

    @property
    def branches(self) -> int:
        """In how many branches the space falls, see ``studies/search/branch_sampler.py``."""
        return len(branches(self.space, self.scientific))

    @property
    def conditional(self) -> bool:
        """Whether which parameters exist depends on choices."""
        return any(parameter.when is not None for parameter in self.space.parameters.values())

    @property
    def per_branch(self) -> int:
        """Trials of a branch, on average."""
        return max(1, self.trials // self.branches)


def names() -> tuple[str, ...]:
    """Return the names of all samplers."""
    return (*_KINDS, GRID)


def create_sampler(
    name: str, options: Mapping[str, Any], search: Search, *, seed: int
) -> BaseSampler:
    """Return the sampler ``name`` for one trial of ``search``.

    Args:
        name: one of ``names()`` but ``grid``.
        options: arguments of Optuna's class that replace the defaults.
        search: what is searched.
        seed: of the trial's random numbers, 0 <= seed < 2**32.

    Raises:
        ConfigError: unknown name, unknown option, a value that Optuna refuses, or OptunaHub is
            not there.
    """
    if name not in _KINDS:
        raise ConfigError(f"search.sampler: {unknown_name('sampler', name, names())}")
    kind, source = _KINDS[name], f"search.sampler_options ({name})"
    cls = kind.load(options)
    options = {option: value for option, value in options.items() if option not in kind.of_load}
    check_options(cls, options, source=source, taken=kind.taken)
    for option, least in kind.least.items():
        if options.get(option, least) < least:
            raise ConfigError(
                f"{source}: {option} must be {least} or more, but got {options[option]}"
            )
    arguments = {**kind.defaults(search), **options}

    def make(own_seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            # Some have been "experimental" since Optuna 2.8; what goes in Optuna 6 is not here yet.
            for category in (ExperimentalWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            with refusals(source):
                return cls(seed=own_seed, **arguments)

    sampler = make(seed)
    imported = search.imported if learns(name) else ()
    whole = not kind.splits(search)
    if whole and not (kind.counts_pruned and (search.prunes or search.goals.limits)):
        if kind.show is None:
            return sampler
        shown = WarySampler if kind.wary else ShownSampler
        return shown(sampler, kind.show, imported=imported)

    def of_branch(branch: Branch) -> BaseSampler:
        return make(branch_seed(search.seed, branch)) if kind.sequence else sampler

    return BranchSampler(
        search.space,
        search.scientific,
        of_branch,
        seed=seed,
        numbers_only=kind.numbers_only,
        balanced=kind.sequence,
        whole=whole,
        show=kind.show,
        imported=imported,
    )


def learns(name: str) -> bool:
    """Whether sampler ``name`` looks at results from elsewhere to propose trials."""
    return name in _KINDS and _KINDS[name].show is not None and not _KINDS[name].own


def try_sampler(name: str, options: Mapping[str, Any], search: Search) -> None:
    """Have the sampler propose something, as Optuna checks some values only then.

    Raises:
        ConfigError: it refuses one.
    """
    at_once = _KINDS[name].at_once if name in _KINDS else {}
    study = optuna.create_study(
        sampler=create_sampler(name, {**options, **at_once}, search, seed=0),
        directions=list(search.goals.directions),
    )
    first = branches(search.space, search.scientific)[0]
    # numpy warns before Optuna refuses; Optuna warns of what comes in its next versions.
    with refusals(f"search.sampler_options ({name})"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(3):
            study.enqueue_trial(first)
            trial = study.ask()
            suggest(search.space, trial)
            study.tell(trial, [number] * len(search.goals.names))


def several_objectives(name: str) -> bool:
    """Whether sampler ``name`` can propose for several objectives."""
    return name not in _KINDS or _KINDS[name].several


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One sampler.

    Attributes:
        load: returns Optuna's class; of the options it knows ``of_load``.
        defaults: arguments for a search.
        splits: whether it works branch by branch on a search.
        taken: arguments that cannot be set.
        numbers_only: whether it knows no choices.
        counts_pruned: whether it is told of pruned trials, which it leaves out by itself.
        show: how it is shown trials that failed; None: it does not learn from trials.
        own: whether it learns from generations of its own alone, not from results from elsewhere.
        wary: whether what lies nearest to a failed trial is proposed again.
        sequence: whether trials are points of one sequence, with one seed.
        least: options that Optuna takes, but that end in a division by zero below this.
        at_once: options with which it proposes something of its own in the second trial.
        several: whether it can have several objectives.
    """

    load: Callable[[Mapping[str, Any]], Callable[..., BaseSampler]]
    defaults: Callable[[Search], dict[str, Any]] = lambda search: {}
    splits: Callable[[Search], bool] = lambda search: False
    taken: frozenset[str] = frozenset({"seed"})
    of_load: frozenset[str] = frozenset()
    numbers_only: bool = False
    counts_pruned: bool = False
    show: Show | None = None
    own: bool = False
    wary: bool = False
    sequence: bool = False
    least: Mapping[str, int] = field(default_factory=dict)
    at_once: Mapping[str, Any] = field(default_factory=dict)
    several: bool = True


def _tpe(search: Search) -> dict[str, Any]:
    return {
        "multivariate": True,
        "group": True,
        # Those still running count as poor ones, so that they are not proposed twice.
        "constant_liar": search.workers > 1,
        # Random until it has seen two trials of each choice on average, and ten at least.
        "n_startup_trials": max(10, 2 * search.choices),
    }


def _gp(search: Search) -> dict[str, Any]:
    # Optuna's 10 at random is all that a branch gets in a study of usual size.
    startup = 4 if search.conditional else max(10, 2 * search.choices)
    return {"n_startup_trials": startup, "warn_independent_sampling": False}


def _cmaes(search: Search) -> dict[str, Any]:
    # A generation that waited for complete trials alone would never be full under a pruner.
    return {"consider_pruned_trials": search.prunes, "warn_independent_sampling": False}


def _qmc(search: Search) -> dict[str, Any]:
    # Unscrambled it has no seed, and begins in the corner of the space.
    return {"scramble": True, "warn_independent_sampling": False}


def _nsga2(search: Search) -> dict[str, Any]:
    return {"population_size": population(search)}


def population(search: Search) -> int:
    """Return the default population of ``nsga2``: Optuna's 50, or a fifth of a branch's trials."""
    trials = search.per_branch if search.conditional else search.trials
    return min(50, max(4, trials // 5))


_DEPRECATED = {"x0", "sigma0", "restart_strategy", "inc_popsize"}
_WARNINGS = {"warn_independent_sampling", "warn_asynchronous_seeding"}
_KINDS: Mapping[str, _Kind] = {
    "random": _Kind(load=lambda _: RandomSampler),
    "qmc": _Kind(
        load=lambda _: QMCSampler,
        defaults=_qmc,
        splits=lambda search: True,
        taken=frozenset({"seed", *_WARNINGS}),
        sequence=True,
    ),
    "tpe": _Kind(
        load=lambda _: TPESampler,
        defaults=_tpe,
        show=tpe_view,
        wary=True,
        at_once={"n_startup_trials": 1},
    ),
    "gp": _Kind(
        load=lambda _: GPSampler,
        defaults=_gp,
        splits=lambda search: search.conditional,
        counts_pruned=True,
        show=as_no_better,
        taken=frozenset({"seed", *_WARNINGS}),
        at_once={"n_startup_trials": 1},
    ),
    "cmaes": _Kind(
        load=lambda _: CmaEsSampler,
        defaults=_cmaes,
        splits=lambda search: True,
        taken=frozenset({"seed", *_WARNINGS, *_DEPRECATED}),
        numbers_only=True,
        show=failed_as_no_better,
        own=True,
        least={"popsize": 4},
        at_once={"n_startup_trials": 1},
        several=False,
    ),
    "nsga2": _Kind(
        load=lambda _: NSGAIISampler,
        defaults=_nsga2,
        splits=lambda search: search.conditional,
        counts_pruned=True,
        show=as_no_better,
    ),
    "auto": _Kind(
        load=optuna_bridge.auto_sampler, show=tpe_view, of_load=frozenset({"ref"}), several=False
    ),
}
