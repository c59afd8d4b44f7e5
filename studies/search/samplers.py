"""Samplers by name: one for a trial of a search, with its options."""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from mnist_core.errors import ConfigError, unknown_name
from studies.core.seeds import branch_seed
from studies.search.branch_sampler import BranchSampler, learned_trials
from studies.search.branches import Branch, Search, branches
from studies.search.failure_avoidance import FailureAvoidingSampler
from studies.search.optuna_bridge import suggest
from studies.search.optuna_options import check_options, refusals
from studies.search.repeats import UnrepeatedSampler
from studies.search.sampler_kinds import SAMPLERS
from studies.search.study_views import WINDOW, TpeViewSampler, failed_as_pruned, tpe_view


def create_sampler(
    name: str, options: Mapping[str, Any], search: Search, *, seed: int
) -> BaseSampler:
    """Return the sampler ``name`` for one trial of ``search``, whose random numbers ``seed`` gives.

    Raises:
        ConfigError: if the name or an option is unknown, Optuna refuses a value, or OptunaHub
            cannot be reached.
    """
    sampler = _sampler(name, options, search, seed)
    return UnrepeatedSampler(sampler) if search.guides else sampler


def _sampler(name: str, options: Mapping[str, Any], search: Search, seed: int) -> BaseSampler:
    kind, source = SAMPLERS.get(name), f"search.sampler_options ({name})"
    if kind is None or kind.load is None:
        raise ConfigError(f"search.sampler: {unknown_name('sampler', name, SAMPLERS)}")
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
            # Some are "experimental" since Optuna 2.8, and others will change in Optuna 6.
            for category in (ExperimentalWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            with refusals(source):
                return cls(seed=own_seed, **arguments)

    # It lives for one trial: what it must remember is in the storage. So a resumed study continues
    # as if it had never been interrupted.
    sampler = make(seed)
    # A sampler that leaves pruned or infeasible trials out would propose them again.
    if not kind.splits(search) and not (
        kind.counts_pruned and (search.prunes or search.goals.limits)
    ):
        if kind.show is None:
            return sampler
        shown = FailureAvoidingSampler if kind.avoids_failures else TpeViewSampler
        imported = search.imported if kind.learns_imported else ()
        learned = learned_trials(search, kind)
        show, startup = kind.show, arguments.get("n_startup_trials", 0)
        if show is tpe_view and isinstance(startup, int) and startup > WINDOW:
            # It would never be shown that many, and so draw at random for ever.
            show = failed_as_pruned
        return shown(sampler, show, imported=imported, learned=learned)

    def of_branch(branch: Branch) -> BaseSampler:
        return make(branch_seed(search.seed, branch)) if kind.sequence else sampler

    return BranchSampler(search, kind, of_branch, seed=seed)


def try_sampler(name: str, options: Mapping[str, Any], search: Search) -> None:
    """Have the sampler propose something, as Optuna checks some values only then."""
    at_once = SAMPLERS[name].at_once if name in SAMPLERS else {}
    study = optuna.create_study(
        sampler=create_sampler(name, {**options, **at_once}, search, seed=0),
        directions=list(search.goals.directions),
    )
    first = branches(search.space, search.scientific)[0]
    # numpy warns before Optuna refuses; Optuna warns of changes in its next versions.
    with refusals(f"search.sampler_options ({name})"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(3):
            # In one branch, so that a sampler of several has something to learn from.
            study.enqueue_trial(first)
            trial = study.ask()
            suggest(search.space, trial)
            study.tell(trial, [number] * len(search.goals.names))
