"""What is said about a search before its first trial: what cannot work, and what works otherwise.

``check_search`` refuses names, options and combinations that would crash or silently do nothing;
``notes`` says, a line each, what a sampler or pruner makes of this space and this budget.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from objectives.measured import KNOWN_BEFORE, MEASURES
from search_spaces.space import Choice
from studies.core.formatting import is_share
from studies.planning.layers import GENERAL_QUICK
from studies.planning.plan import Plan
from studies.planning.settings import setting_of, short_name
from studies.search.batch_order import order_notes
from studies.search.branch_sampler import branches
from studies.search.enqueued import Known, read_known
from studies.search.imported import Result, read_results
from studies.search.population_checks import check_population
from studies.search.pruning import create_pruner, try_pruner
from studies.search.rungs import brackets_of, with_resources
from studies.search.samplers import GRID, names, population, several_objectives, try_sampler
from studies.search.sources import SearchSource, search_of


def check_goals(plan: Plan) -> None:
    """Check sampler, pruner and stopping rules against the study's objectives and constraints.

    Raises:
        ConfigError: an unknown objective or constraint, or one of them cannot deal with these.
    """
    goals, search = plan.goals, plan.settings.search
    if "seconds" in goals.limits and search.sampler == "gp":
        raise ConfigError(
            "search.sampler: gp must know of every trial how far it is from each limit, but the"
            " seconds of one that was stopped or not trained are unknown; use tpe or nsga2"
        )
    if goals.several and plan.settings.confirm.racing:
        raise ConfigError(
            "confirm.racing: it stops what loses in one objective, but the study has several"
            f" ({', '.join(goals.names)}); leave it out"
        )
    stop = search.stop
    if goals.measured and stop.regret:
        raise ConfigError(
            "search.stop.regret: Optuna's terminator knows one objective and no constraints; leave"
            " it out"
        )
    if not goals.several:
        return
    listed = ", ".join(goals.names)
    if not several_objectives(search.sampler):
        able = ", ".join(name for name in names() if several_objectives(name))
        raise ConfigError(
            f"search.sampler: {search.sampler} cannot propose for several objectives ({listed});"
            f" use one of {able}"
        )
    for rule in ("target", "patience"):
        if getattr(stop, rule):
            raise ConfigError(
                f"search.stop.{rule}: it looks at one objective, but the study has several"
                f" ({listed}); leave it out"
            )
    unknown = [name for name in goals.further if name not in KNOWN_BEFORE]
    if unknown and search.pruner != "none":
        raise ConfigError(
            f"search.pruner: {search.pruner} judges by {goals.metric} while trials run, and would"
            f" stop some that win by their {unknown[0]}, which are known at the end only; set"
            " search.pruner=none"
        )


def goal_notes(plan: Plan) -> Iterator[str]:
    """Say what the objectives and constraints of the search come to, a line each."""
    goals, search = plan.goals, plan.settings.search
    if goals.several:
        said = ", ".join(
            f"{name} ({direction})"
            for name, direction in zip(goals.names, goals.directions, strict=True)
        )
        yield (
            f"objectives: {said}; up to {plan.settings.confirm.front} of the Pareto front are"
            " confirmed"
        )
        if search.pruner != "none":
            yield (
                f"{search.pruner}: it judges by {goals.metric} alone, and compares a trial with"
                " those that have no more parameters"
            )
    for name, limit in goals.limits.items():
        before = name in KNOWN_BEFORE
        how = "not trained: it fails as Infeasible" if before else "trained, but wins nothing"
        yield f"constraint: {name} <= {limit:,.6g} ({MEASURES[name]}); what has more is {how}"
    if goals.limits and search.sampler in ("random", "qmc", "grid", "cmaes"):
        yield f"{search.sampler}: it is not told of constraints"


def check_search(plan: Plan) -> None:
    """Check sampler, pruner and enqueued configurations, each by itself and together.

    Raises:
        ConfigError: one is unknown, Optuna refuses it, or it cannot work in this study.
    """
    check_goals(plan)
    check_population(plan)
    search = plan.settings.search
    if search.sentinels > 1 and search.sentinels != int(search.sentinels):
        raise ConfigError(
            "search.sentinels must be a whole number, or a share below 1, but got"
            f" {search.sentinels!r}"
        )
    SearchSource(plan, known_configurations(plan))
    imported_results(plan)
    create_pruner(
        search.pruner, with_resources(search.pruner, search.pruner_options, plan.most_reports)
    )
    if search.sampler_options and search.sampler != GRID:
        try_sampler(search.sampler, search.sampler_options, search_of(plan))
    if search.pruner_options:
        least = search.pruner_options.get("min_resource", 1)
        reports = max(plan.most_reports, least if isinstance(least, int) else 1)
        try_pruner(search.pruner, with_resources(search.pruner, search.pruner_options, reports))
    _check_population(plan)
    _check_pruner(plan)


def known_configurations(plan: Plan) -> list[Known]:
    """Read the configurations that the plan begins with.

    Raises:
        ConfigError: a file cannot be read, or holds no point of the space.
    """
    return [read_known(Path(file), plan.spec.space) for file in plan.settings.search.enqueue]


def imported_results(plan: Plan) -> list[Result]:
    """Read the results from elsewhere that the plan names.

    Raises:
        ConfigError: a file cannot be read, or a line of it is no result of the study's space.
    """
    names = plan.goals.names
    return [
        result
        for file in plan.settings.search.imports
        for result in read_results(Path(file), plan.spec.space, names)
    ]


def reports(plan: Plan) -> int | None:
    """Return how many reports a trial makes; None where trials differ in it."""
    searched = {plan.spec.space.setting(name) for name in plan.spec.space.parameters}
    if searched & {"epochs", "reports_per_epoch"}:
        return None
    return plan.train.epochs * plan.train.reports_per_epoch


def notes(plan: Plan, source: SearchSource | None = None) -> list[str]:
    """Return what there is to know about the search's trials, sampler and pruner, a line each.

    Args:
        plan: a plan that ``check_search`` passed.
        source: of the study's trials; None: of a study that has none yet.
    """
    source = source or SearchSource(plan, known_configurations(plan))
    return [
        *quick_notes(plan),
        *source.notes,
        *order_notes(plan),
        *_sampler_notes(plan),
        *_pruner_notes(plan),
        *goal_notes(plan),
    ]


def quick_notes(plan: Plan) -> list[str]:
    """Say what a small run is where the study itself does not."""
    if GENERAL_QUICK not in plan.origins.values():
        return []
    said = ", ".join(
        f"{short_name(key)}={setting_of(plan.settings, key)}"
        for key, source in plan.origins.items()
        if source == GENERAL_QUICK
    )
    return [f"--quick: {plan.spec.name} has no quick={{…}} of its own, so it is {said}"]


def _check_population(plan: Plan) -> None:
    search, problem = plan.settings.search, search_of(plan)
    asked = search.sampler_options.get("population_size")
    available = problem.per_branch if problem.conditional else problem.trials
    if search.sampler == "nsga2" and asked is not None and asked >= available:
        per = f"{available} for each of its {problem.branches} branches, out of "
        raise ConfigError(
            f"search.sampler_options (nsga2): population_size is {asked}, but the search has"
            f" {per if problem.conditional else ''}{counted(problem.trials, 'trial')}, so it"
            " would never leave"
            f" its first random generation; set it to {population(problem)} or raise search.trials"
        )


def _check_pruner(plan: Plan) -> None:
    search, spec = plan.settings.search, plan.spec
    name, options = search.pruner, search.pruner_options
    instances = spec.steps == "instances"
    if name == "wilcoxon" and not instances:
        raise ConfigError(
            "search.pruner: wilcoxon compares values of separate instances, but the steps of"
            f" study {spec.name} are the progress of one training (its `steps`), whose values"
            " depend on one another; use median, percentile or hyperband"
        )
    if instances and name not in ("none", "wilcoxon", "threshold"):
        raise ConfigError(
            f"search.pruner: {name} compares how far trainings are, but the steps of study"
            f" {spec.name} are separate instances; use wilcoxon, threshold or none"
        )
    where, bounds = f"search.pruner_options ({name})", options
    if name == "patient" and options.get("wrapped") == "threshold":
        bounds = options.get("wrapped_options", {})
    elif name != "threshold":
        bounds = {}
    wrong = "upper" if spec.direction == "maximize" else "lower"
    right = "lower" if wrong == "upper" else "upper"
    if wrong in bounds:
        raise ConfigError(
            f"{where}: {wrong} would stop the best trials, as {spec.metric} is to be"
            f" {spec.direction}d; set {right} instead"
        )
    _check_shares(plan, {f"{where}: {bound}": value for bound, value in bounds.items()})
    steps = reports(plan)
    if name == "hyperband" and steps is not None and steps > 1:
        _check_hyperband(plan, steps)


def _check_shares(plan: Plan, bounds: Mapping[str, Any]) -> None:
    """Refuse per cent where a share is meant: every trial would be stopped, or none."""
    metric, stop = plan.spec.metric, plan.settings.search.stop
    given = {**bounds, "search.stop.target": stop.target}
    for name, value in given.items():
        if is_share(metric) and isinstance(value, int | float) and value > 1:
            raise ConfigError(
                f"{name} must be at most 1, as {metric} is a share, but got {value:g}; write 99 %"
                " as 0.99"
            )


def _check_hyperband(plan: Plan, steps: int) -> None:
    options = plan.settings.search.pruner_options
    where = "search.pruner_options (hyperband)"
    least, most = options.get("min_resource", 1), options.get("max_resource", "auto")
    factor = options.get("reduction_factor", 3)
    made = f"a trial makes {counted(steps, 'report')} (epochs x reports_per_epoch)"
    if most != "auto" and most > steps:
        raise ConfigError(
            f"{where}: max_resource is {most}, but {made}; set it to {steps}, or raise epochs"
        )
    if brackets_of(steps if most == "auto" else most, least, factor) < 2:
        raise ConfigError(
            f"{where}: {made}, too few for two brackets with min_resource {least} and"
            f" reduction_factor {factor}; raise epochs or reports_per_epoch to {least * factor} or"
            " more reports, or use successive_halving"
        )


def _sampler_notes(plan: Plan) -> Iterator[str]:
    search, problem = plan.settings.search, search_of(plan)
    name, compared = search.sampler, plan.spec.scientific
    parts = branches(plan.spec.space, compared)
    trials = counted(problem.per_branch, "trial")
    each = f"about {trials} for each of {len(parts)} branches"
    if name == "qmc" and search.sampler_options.get("qmc_type", "sobol") == "sobol":
        if problem.per_branch & (problem.per_branch - 1):
            yield (
                f"qmc: {each}, which is no power of two; a Sobol sequence is balanced at"
                f" {_near_power(problem.per_branch) * len(parts)} trials in all"
            )
    elif name in ("gp", "nsga2") and problem.conditional:
        yield (
            f"{name}: it works in each combination of choices that conditions depend on by itself:"
            f" {each}; TPE chooses between them"
        )
    elif name == "cmaes":
        chance = [
            parameter
            for parameter, kind in plan.spec.space.parameters.items()
            if isinstance(kind, Choice) and all(parameter not in part for part in parts)
        ]
        drawn = f"; {', '.join(chance)} drawn at random" if chance else ""
        yield f"cmaes: it adapts within each branch by itself: {each}{drawn}"
        size = search.sampler_options.get("popsize") or 5
        if problem.per_branch < 2 * size:
            yield (
                f"cmaes: {trials} a branch: hardly two generations, so this is"
                " little more than random search; raise search.trials, or use tpe"
            )
    elif name == "auto":
        yield "auto: a space with choices is searched by TPE, as AutoSampler decides"


def _near_power(number: int) -> int:
    below = 1 << (number.bit_length() - 1)
    return below if number - below <= 2 * below - number else 2 * below


def _first_decision(name: str, options: Mapping[str, Any]) -> int:
    """Return the first report at which pruner ``name`` may stop a trial."""
    if name in ("median", "percentile"):
        return max(1, int(options.get("n_warmup_steps", 3)))
    if name == "patient":
        return int(options.get("patience", 2)) + 2
    if name == "successive_halving":
        rate = options.get("min_early_stopping_rate", 0)
        return int(options["min_resource"] * options.get("reduction_factor", 4) ** rate)
    return 1


def _pruner_notes(plan: Plan) -> Iterator[str]:
    search, steps = plan.settings.search, reports(plan)
    name = search.pruner
    options = with_resources(name, search.pruner_options, plan.most_reports)
    if name == "none":
        if search.sentinels:
            yield "search.sentinels: nothing is pruned, so every trial is one"
        return
    if steps is None or plan.name != plan.spec.name:  # a quick look prunes nothing
        return
    each = plan.trials // len(plan.spec.choices)
    if steps <= _first_decision(name, options):
        yield (
            f"{name}: a trial makes {counted(steps, 'report')}, so there is nothing"
            " left to be saved by pruning"
        )
    elif name in ("median", "percentile") and each <= (n := options.get("n_startup_trials", 4)):
        yield (
            f"{name}: it prunes once a choice has {counted(n, 'complete trial')}, and each has"
            f" about {each}"
        )
