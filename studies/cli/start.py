"""Starts a study's workers, then runs it in the foreground."""

import functools
import sys
from collections.abc import Sequence
from typing import Any

from studies import engines
from studies.engines.base import Resources
from studies.planning import resources
from studies.planning.objective_checks import check_objective
from studies.planning.plan import Plan


def start(plan: Plan, *, arguments: Sequence[str], **options: Any) -> int:
    """Run ``plan``'s study to its end; return the exit code, 130 if it was interrupted.

    Args:
        plan: the study's.
        arguments: the command line, repeated in the line that says how to resume.
        options: as ``foreground.run`` takes them.

    Raises:
        UserError: if something that the user can mend is wrong.
    """
    # Before workers start: a user's own file may be anything.
    check_objective(plan.spec.objective, plan.goals, engine=plan.settings.engine.name)
    with engines.create(
        plan.settings.engine.name,
        workers=plan.workers,
        threads=plan.threads,
        preload=plan.adapter.preload,
        resources=Resources(
            affinity=plan.settings.engine.affinity,
            gpus=plan.gpus,
            most=plan.most_workers,
            stack=plan.settings.engine.stack,
            ray=resources.claims(plan.settings.engine, plan.adapter.device),
            say=functools.partial(print, file=sys.stderr, flush=True),
        ),
    ) as started:
        plan = engines.adapted(plan, started)
        # Workers import torch while this process imports Optuna and the rest.
        from studies.cli import foreground

        return foreground.run(plan, started, arguments=arguments, **options)
