"""Checks of a search before its first trial: what cannot work, and what is unexpected."""

from collections.abc import Iterator, Mapping
from typing import Any

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from objectives.measured import KNOWN_BEFORE, MEASURES
from studies.core.formatting import is_share
from studies.core.goals import Goals
from studies.planning.layers import GENERAL_QUICK
from studies.planning.plan import Plan
from studies.planning.settings import SearchSettings, Settings, setting_of, short_name
from studies.search.batch_order import order_notes, order_of
from studies.search.enqueued import read_enqueued_files
from studies.search.imported import read_result_files
from studies.search.population import check_population
from studies.search.pruners import PRUNERS, bounds_of, create_pruner, try_pruner, with_resources
from studies.search.sampler_kinds import SAMPLERS
from studies.search.samplers import try_sampler
from studies.search.sources import SearchSource
from studies.spec import StudySpec


def check_search(plan: Plan) -> None:
    """Refuse names, options and combinations that would crash or silently do nothing.

    Raises:
        ConfigError: if sampler, pruner or an enqueued configuration cannot work in this study.
    """
    search, space = plan.settings.search, plan.spec.space
    _check_goals(plan.goals, plan.settings)
    check_population(plan)
    if search.sentinels > 1 and search.sentinels != int(search.sentinels):
        raise ConfigError(
            "search.sentinels must be a whole number, or a share below 1, but got"
            f" {search.sentinels!r}"
        )
    source = SearchSource(plan, read_enqueued_files(search.enqueue, space))
    read_result_files(search.imports, space, plan.goals.names)
    create_pruner(
        search.pruner, with_resources(search.pruner, search.pruner_options, plan.most_reports)
    )
    sampler = SAMPLERS[search.sampler]
    if search.sampler_options and sampler.load is not None:
        try_sampler(search.sampler, search.sampler_options, source.search)
    if search.pruner_options:
        # Optuna's own check: more reports than the study has, so that none fails for their number.
        least = search.pruner_options.get("min_resource", 1)
        most = max(plan.most_reports, least if isinstance(least, int) else 1)
        try_pruner(search.pruner, with_resources(search.pruner, search.pruner_options, most))
    sampler.check(source.search, search.sampler_options)
    steps = plan.adapter.reports
    _check_known(plan.spec, search.pruner)
    _check_pruner(search, plan.spec, steps)
    if PRUNERS[search.pruner].pauses:
        _check_pauses(plan.settings, plan.spec, plan.goals, steps, trains=plan.adapter.trains)


def _check_goals(goals: Goals, settings: Settings) -> None:
    """Check sampler, pruner and stopping rules against the objectives and constraints."""
    search = settings.search
    sampler, stop = SAMPLERS.get(search.sampler), search.stop
    if "seconds" in goals.limits and sampler is not None and sampler.needs_every_excess:
        able = [
            name
            for name, kind in SAMPLERS.items()
            if kind.told_of_limits and kind.several and not kind.needs_every_excess
        ]
        raise ConfigError(
            f"search.sampler: {search.sampler} must know of every trial how far it is from each"
            " limit, but the seconds of one that was stopped or not trained are unknown; use"
            f" {' or '.join(able)}"
        )
    listed = ", ".join(goals.names)
    if goals.several and settings.confirm.racing:
        raise ConfigError(
            "confirm.racing: it stops what loses in one objective, but the study has several"
            f" ({listed}); leave it out"
        )
    if goals.measured and stop.regret:
        raise ConfigError(
            "search.stop.regret: Optuna's terminator knows one objective and no constraints; leave"
            " it out"
        )
    if not goals.several:
        return
    if sampler is not None and not sampler.several:
        able = [name for name, kind in SAMPLERS.items() if kind.several]
        raise ConfigError(
            f"search.sampler: {search.sampler} cannot propose for several objectives ({listed});"
            f" use one of {', '.join(able)}"
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


def _check_known(spec: StudySpec, pruner: str) -> None:
    """Refuse a pruner that must know the number of reports where the objective does not say it."""
    resources = PRUNERS[pruner].resources
    if spec.own is None or spec.own.reports is not None or resources(1) == resources(99):
        return
    raise ConfigError(
        f"search.pruner: {pruner} must know how many reports a trial makes; give objective"
        f" {spec.label} the attribute reports, or use median"
    )


def _check_pruner(search: SearchSettings, spec: StudySpec, steps: int | None) -> None:
    """Check the pruner against the metric and the ``steps`` of a trial; None: they differ."""
    name, kind, options = search.pruner, PRUNERS[search.pruner], search.pruner_options
    instances = spec.steps == "instances"
    if not instances and not kind.progress:
        raise ConfigError(
            f"search.pruner: {name} compares values of separate instances, but the steps of"
            f" study {spec.name} are the progress of one training (its `steps`), whose values"
            " depend on one another; use median, percentile or hyperband"
        )
    if instances and not kind.instances:
        able = ", ".join(known for known, other in PRUNERS.items() if other.instances)
        raise ConfigError(
            f"search.pruner: {name} compares how far trainings are, but the steps of study"
            f" {spec.name} are separate instances; use one of {able}"
        )
    where, bounds = f"search.pruner_options ({name})", bounds_of(name, options)
    wrong, right = ("upper", "lower") if spec.direction == "maximize" else ("lower", "upper")
    if wrong in bounds:
        raise ConfigError(
            f"{where}: {wrong} would stop the best trials, as {spec.metric} is to be"
            f" {spec.direction}d; set {right} instead"
        )
    given = {f"{where}: {bound}": value for bound, value in bounds.items()}
    _check_shares(spec.metric, {**given, "search.stop.target": search.stop.target})
    if steps is not None:
        kind.check(where, options, steps)


def _check_pauses(
    settings: Settings, spec: StudySpec, goals: Goals, steps: int | None, *, trains: bool
) -> None:
    """Check that trials can be paused and continued; ``steps`` of a trial, None: they differ."""
    search, engine = settings.search, settings.engine
    name = search.pruner
    refused = {
        f"it continues trainings from their saved states, but {_file(spec)} is"
        " not a trainer and saves none; derive its class from objectives.training.Training,"
        " or use median": not trains,
        "it continues trainings from their saved states, but engine.checkpoint_seconds is 0, so"
        " none is saved; leave it out": not engine.checkpoint_seconds,
        "it compares trials at the same report, but the number of reports differs between trials,"
        " as epochs or reports_per_epoch is searched; use median": steps is None,
        f"it ranks trials by one objective, but the study has several ({', '.join(goals.names)});"
        " use none": goals.several,
        "in batch order a batch ends before the next one begins, but a paused trial ends with the"
        " search; leave out one of it and --order batch": search.order == "batch",
        "a paused trial may still be complete, so the number of complete trials is not known"
        " before the end; leave search.trials_complete out": bool(search.trials_complete),
        f"engine.ray.scheduler is {engine.ray.scheduler}, which decides by itself; use book": (
            engine.name == "ray" and engine.ray.scheduler != "book"
        ),
    }
    for reason, applies in refused.items():
        if applies:
            raise ConfigError(f"search.pruner: {name}: {reason}")


def _file(spec: StudySpec) -> str:
    return spec.label if spec.own else f"objectives/{spec.label}.py"


def _check_shares(metric: str, given: Mapping[str, Any]) -> None:
    """Refuse per cent where a fraction is meant: every trial would be stopped, or none."""
    for name, value in given.items():
        if is_share(metric) and isinstance(value, int | float) and value > 1:
            raise ConfigError(
                f"{name} must be at most 1, as {metric} is a share, but got {value:g}; write 99 %"
                " as 0.99"
            )


def notes(plan: Plan, source: SearchSource | None = None) -> list[str]:
    """Return a line for each thing to know of the search's trials, sampler and pruner."""
    search = plan.settings.search
    if source is None:
        source = SearchSource(plan, read_enqueued_files(search.enqueue, plan.spec.space))
    steps = plan.adapter.reports
    order = order_of(search, plan.threads)
    ordered = (
        order_notes(
            order,
            plan.settings,
            workers=plan.workers,
            repeatable=plan.adapter.repeatable,
        )
        if order
        else ()
    )
    # A quick look prunes nothing, so its pruner gets no line.
    pruned = steps is not None and plan.name == plan.spec.name
    return [
        *_quick_notes(plan.spec.name, plan.settings, plan.origins),
        *_few_notes(plan),
        *source.notes,
        *ordered,
        *SAMPLERS[search.sampler].notes(source.search, search.sampler_options),
        *_pruner_notes(search, steps if pruned else None, plan.trials, len(plan.spec.choices)),
        *goal_notes(plan.goals, plan.settings),
    ]


def _quick_notes(study: str, settings: Settings, origins: Mapping[str, str]) -> list[str]:
    """Say what a small run is if the study itself does not."""
    if GENERAL_QUICK not in origins.values():
        return []
    said = ", ".join(
        f"{short_name(key)}={setting_of(settings, key)}"
        for key, source in origins.items()
        if source == GENERAL_QUICK
    )
    return [f"--quick: {study} has no quick={{…}} of its own, so it is {said}"]


def _few_notes(plan: Plan) -> list[str]:
    """Say that there are not enough trials for a comparison."""
    choices, few = len(plan.spec.choices), counted(plan.trials, "trial")
    if plan.trials >= choices:
        return []
    return [
        f"search.trials: {few} for {choices} choices of {plan.spec.scientific}: those that get"
        f" none are not compared; take at least {choices}"
    ]


def goal_notes(goals: Goals, settings: Settings) -> Iterator[str]:
    """Yield what the objectives and constraints mean for the search, a line each."""
    search = settings.search
    if goals.several:
        said = ", ".join(
            f"{name} ({direction})"
            for name, direction in zip(goals.names, goals.directions, strict=True)
        )
        yield (
            f"objectives: {said}; up to {settings.confirm.front} of the Pareto front are confirmed"
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
    if goals.limits and not SAMPLERS[search.sampler].told_of_limits:
        yield f"{search.sampler}: it is not told of constraints"


def _pruner_notes(
    search: SearchSettings, steps: int | None, trials: int, choices: int
) -> Iterator[str]:
    """Yield why the pruner may stop nothing; ``steps`` of a trial, None: not known."""
    per_choice = trials // max(1, choices)
    name, kind = search.pruner, PRUNERS[search.pruner]
    if name == "none" and search.sentinels:
        yield "search.sentinels: nothing is pruned, so every trial is one"
    if name == "none" or steps is None:
        return
    options = with_resources(name, search.pruner_options, steps)
    startup = {**kind.defaults, **options}.get("n_startup_trials")
    if steps <= kind.first_report(options):
        yield (f"{name}: a trial makes {counted(steps, 'report')}, so pruning cannot save anything")
    elif kind.pauses:
        yield (
            f"{name}: a trial is paused at report {kind.first_report(options)} of {steps}; the"
            f" best{' of its choice' if choices else ''} continue, the others are pruned at the end"
            " of the search"
        )
    elif startup is not None and per_choice <= startup:
        once = f"{name}: it prunes once {{}} {counted(startup, 'complete trial')}, and"
        if choices:
            yield f"{once.format('a choice has')} each has about {per_choice}"
        else:
            yield f"{once.format('there are')} the search has {per_choice} in all"
