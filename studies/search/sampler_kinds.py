"""What the program must know of each sampler; a new sampler is one more entry of ``SAMPLERS``."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from search_spaces.space import Choice
from studies.search.branches import Search, branches
from studies.search.study_views import Show, as_no_better, failed_as_no_better, tpe_view

Options = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SamplerKind:
    """One sampler.

    Attributes:
        load: returns Optuna's class, given the options; None: its trials come as a list.
        defaults: arguments for a search.
        splits: whether it works branch by branch on a search.
        aligns: whether one model of all branches proposes the trials that may have any branch, see
            ``aligned.py``.
        taken: arguments that cannot be set.
        of_load: options that only ``load`` takes.
        numbers_only: whether it cannot propose choices.
        counts_pruned: whether it is told of pruned trials, which it leaves out by itself. It would
            propose them again otherwise.
        show: how it is shown trials that failed; None: it does not learn from trials.
        learns_imported: whether it learns from results from elsewhere.
        avoids_failures: whether what lies nearest to a failed trial is proposed again.
        sequence: whether trials are points of one sequence, with one seed.
        screens: whether choices are screened in all branches together, see ``screening.py``.
        least: lowest values of options that Optuna takes, but then divides by zero.
        at_once: options with which it proposes something of its own in the second trial.
        several: whether it can have several objectives.
        told_of_limits: whether it is told of constraints.
        needs_every_excess: whether it must know of every trial how far it is from each limit.
        check: raises if it cannot work with these options on a search.
        notes: yields what there is to know about it on a search.
    """

    load: Callable[[Options], Callable[..., BaseSampler]] | None
    defaults: Callable[[Search], dict[str, Any]] = lambda search: {}
    splits: Callable[[Search], bool] = lambda search: False
    aligns: bool = False
    taken: frozenset[str] = frozenset({"seed"})
    of_load: frozenset[str] = frozenset()
    numbers_only: bool = False
    counts_pruned: bool = False
    show: Show | None = None
    learns_imported: bool = False
    avoids_failures: bool = False
    sequence: bool = False
    screens: bool = False
    least: Mapping[str, int] = field(default_factory=dict)
    at_once: Options = field(default_factory=dict)
    several: bool = True
    told_of_limits: bool = True
    needs_every_excess: bool = False
    check: Callable[[Search, Options], None] = lambda search, options: None
    notes: Callable[[Search, Options], Iterator[str]] = lambda search, options: iter(())


def _tpe(search: Search) -> dict[str, Any]:
    return {
        # Without groups only what all trials have in common is modelled.
        "multivariate": True,
        "group": True,
        # Running trials count as poor ones, so that they are not proposed twice.
        "constant_liar": search.workers > 1,
        # Random until it has seen two trials of each choice on average, and at least ten.
        "n_startup_trials": max(10, 2 * search.choices),
    }


def _qmc(search: Search) -> dict[str, Any]:
    # Unscrambled it has no seed, and starts in the corner of the space.
    return {"scramble": True, "warn_independent_sampling": False}


def _qmc_notes(search: Search, options: Options) -> Iterator[str]:
    each = search.per_branch
    if options.get("qmc_type", "sobol") == "sobol" and each & (each - 1):
        below = 1 << (each.bit_length() - 1)
        near = below if each - below <= 2 * below - each else 2 * below
        yield (
            f"qmc: {_share_of_branch(search)}, which is not a power of two; a Sobol sequence is"
            f" balanced at {near * search.branches} trials in all"
        )


def _gp(search: Search) -> dict[str, Any]:
    # Optuna's 10 random trials are all that a branch gets in a study of usual size.
    startup = 4 if search.conditional else max(10, 2 * search.choices)
    return {"n_startup_trials": startup, "warn_independent_sampling": False}


def _gp_notes(search: Search, options: Options) -> Iterator[str]:
    if search.conditional:
        yield (
            "gp: one model of all branches proposes the free trials; a trial whose branch is"
            f" required is proposed by a model of that branch alone: {_share_of_branch(search)}"
        )


def _cmaes(search: Search) -> dict[str, Any]:
    # A generation that waited for complete trials alone would never be full under a pruner.
    return {"consider_pruned_trials": search.prunes, "warn_independent_sampling": False}


def _cmaes_notes(search: Search, options: Options) -> Iterator[str]:
    parts = branches(search.space, search.scientific)
    random = [
        name
        for name, parameter in search.space.parameters.items()
        if isinstance(parameter, Choice) and all(name not in part for part in parts)
    ]
    drawn = f"; {', '.join(random)} drawn at random" if random else ""
    yield f"cmaes: it adapts within each branch by itself: {_share_of_branch(search)}{drawn}"
    if search.per_branch < 2 * (options.get("popsize") or 5):
        yield (
            f"cmaes: {counted(search.per_branch, 'trial')} a branch: hardly two generations, so"
            " this is little more than random search; raise search.trials, or use tpe"
        )


def population(search: Search) -> int:
    """Return the default population of ``nsga2``: Optuna's 50, or a fifth of a branch's trials."""
    trials = search.per_branch if search.conditional else search.trials
    return min(50, max(4, trials // 5))


def _check_nsga2(search: Search, options: Options) -> None:
    asked = options.get("population_size")
    available = search.per_branch if search.conditional else search.trials
    if asked is not None and asked >= available:
        per = f"{available} for each of its {search.branches} branches, out of "
        raise ConfigError(
            f"search.sampler_options (nsga2): population_size is {asked}, but the search has"
            f" {per if search.conditional else ''}{counted(search.trials, 'trial')}, so it"
            " would never leave its first random generation; set it to"
            f" {population(search)} or raise search.trials"
        )


def _branch_notes(name: str) -> Callable[[Search, Options], Iterator[str]]:
    def notes(search: Search, options: Options) -> Iterator[str]:
        if search.conditional:
            yield (
                f"{name}: it works in each combination of choices that conditions depend on by"
                f" itself: {_share_of_branch(search)}; TPE chooses between them"
            )

    return notes


def _share_of_branch(search: Search) -> str:
    each = counted(search.per_branch, "trial")
    return f"about {each} for each of {search.branches} branches"


_PACKAGE = "samplers/auto_sampler"
_REF = "257a04bca788dc263bf4cbb469083be82740cf69"
"""The commit of OptunaHub's registry that is used: another one may propose other trials."""


def _auto(options: Options) -> Callable[..., BaseSampler]:
    """Return OptunaHub's class ``AutoSampler``; option ``ref`` names another commit."""
    ref = options.get("ref", _REF)
    if not isinstance(ref, str) or not ref:
        raise ConfigError(f"search.sampler_options (auto): ref must be str, but got {ref!r}")
    try:
        optunahub = importlib.import_module("optunahub")
    except ImportError as error:
        raise ConfigError(
            f"search.sampler: 'auto' is OptunaHub's, which cannot be imported ({error}); install"
            " it with `pip install 'mnist-studies[hub]'`, or use tpe, which it chooses for spaces"
            " like this"
        ) from None
    # The first call needs the network; later ones take it from OptunaHub's cache.
    try:
        loaded: Callable[..., BaseSampler] = optunahub.load_module(_PACKAGE, ref=ref).AutoSampler
    except Exception as error:  # git, network, GitHub, module: there is no common class of errors
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"search.sampler: 'auto' cannot be fetched from OptunaHub's registry ({said[:160]});"
            " it needs the network once; or use tpe, which it chooses for spaces like this"
        ) from None
    return loaded


def _auto_notes(search: Search, options: Options) -> Iterator[str]:
    yield "auto: a space with choices is searched by TPE, as AutoSampler decides"


_DEPRECATED = {"x0", "sigma0", "restart_strategy", "inc_popsize"}
_WARNINGS = {"warn_independent_sampling", "warn_asynchronous_seeding"}
SAMPLERS: Mapping[str, SamplerKind] = {
    # Draws what is active.
    "random": SamplerKind(load=lambda _: RandomSampler, told_of_limits=False),
    # One sequence for each branch, the branches in turn.
    "qmc": SamplerKind(
        load=lambda _: QMCSampler,
        defaults=_qmc,
        splits=lambda search: True,
        taken=frozenset({"seed", *_WARNINGS}),
        sequence=True,
        told_of_limits=False,
        notes=_qmc_notes,
    ),
    # As qmc, for numbers. Choices are balanced, then take the value that leads over all branches;
    # from its 6th trial on a branch is searched around its best. For few trials of each choice.
    "screen": SamplerKind(
        load=lambda _: QMCSampler,
        defaults=_qmc,
        splits=lambda search: True,
        taken=frozenset({"seed", *_WARNINGS}),
        numbers_only=True,
        sequence=True,
        screens=True,
        told_of_limits=False,
    ),
    # Models what is active together (``group``), and gives free trials to choices that lead, so
    # that the others stay poorly tuned (benchmarks/RESULTS.md).
    "tpe": SamplerKind(
        load=lambda _: TPESampler,
        defaults=_tpe,
        show=tpe_view,
        learns_imported=True,
        avoids_failures=True,
        at_once={"n_startup_trials": 1},
    ),
    # Gaussian process. One model of all branches, in which they share coordinates (``aligned.py``)
    # and the worse half of the values is taken by ranks (``warping.py``), proposes trials that may
    # have any branch. Where the branch is required, it is a model of that branch alone. For the
    # best point of few trials.
    "gp": SamplerKind(
        load=lambda _: GPSampler,
        defaults=_gp,
        splits=lambda search: search.conditional,
        aligns=True,
        counts_pruned=True,
        show=as_no_better,
        learns_imported=True,
        taken=frozenset({"seed", *_WARNINGS}),
        at_once={"n_startup_trials": 1},
        needs_every_excess=True,
        notes=_gp_notes,
    ),
    # A population for each branch, which TPE chooses; choices inside a branch are drawn at random.
    "cmaes": SamplerKind(
        load=lambda _: CmaEsSampler,
        defaults=_cmaes,
        splits=lambda search: True,
        taken=frozenset({"seed", *_WARNINGS, *_DEPRECATED}),
        numbers_only=True,
        show=failed_as_no_better,
        least={"popsize": 4},
        at_once={"n_startup_trials": 1},
        several=False,
        told_of_limits=False,
        notes=_cmaes_notes,
    ),
    # A population for each branch, which TPE chooses; one if there are no conditions.
    "nsga2": SamplerKind(
        load=lambda _: NSGAIISampler,
        defaults=lambda search: {"population_size": population(search)},
        splits=lambda search: search.conditional,
        counts_pruned=True,
        show=as_no_better,
        learns_imported=True,
        check=_check_nsga2,
        notes=_branch_notes("nsga2"),
    ),
    # OptunaHub's AutoSampler: has TPE do it.
    "auto": SamplerKind(
        load=_auto,
        show=tpe_view,
        learns_imported=True,
        of_load=frozenset({"ref"}),
        several=False,
        notes=_auto_notes,
    ),
    # Walks a grid of each branch (``studies/search/grid.py``); not a sampler of Optuna's.
    "grid": SamplerKind(load=None, told_of_limits=False),
}
