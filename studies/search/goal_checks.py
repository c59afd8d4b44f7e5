"""What cannot work with several objectives or with constraints, refused before trial 0."""

from collections.abc import Iterator

from mnist_core.errors import ConfigError
from objectives.measured import KNOWN_BEFORE, MEASURES
from studies.planning.plan import Plan
from studies.search.samplers import names, several_objectives


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
