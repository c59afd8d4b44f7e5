"""``python -m studies audit STUDY``: what pruners save of a study, and what they lose."""

from typing import Annotated

import typer

from studies.cli import options


@options.on_study()
def audit_command(
    chosen: options.Chosen,
    draws: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="simulated studies; left out: 20 to 200"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="seed of the simulation")] = 0,
) -> None:
    """Show what other pruners would have saved of a study, and how often they lose its best trial.

    The full curves are replayed, so the study needs trials that ran to their end. Run it with
    `--set search.sentinels=0.2` (a fifth of the trials is never pruned) or `--set
    search.pruner=none`.
    """
    plan = chosen.find()
    from studies.analysis.audit import audit
    from studies.analysis.audit_curves import read_curves
    from studies.analysis.replay import Pruner
    from studies.report.comparison_tables import print_audit

    curves = read_curves(plan.location, plan.spec, plan.goals)
    found = audit(Pruner.of(plan), curves, draws=draws, seed=seed)
    print_audit(plan.name, plan.spec.metric, found)
