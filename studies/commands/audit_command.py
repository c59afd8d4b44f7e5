"""``python -m studies audit STUDY``: what pruners save of a study, and what they lose."""

from typing import Annotated

import typer

from studies import cli


def audit_command(
    study: cli.RunStudyArgument,
    draws: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="studies drawn; left out: 20 to 200")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of the draws")] = 0,
    dataset: cli.DatasetOption = None,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Replay a study's full curves through other pruners: seconds saved, chance to lose the best.

    It needs trials that ran to their end: run the study with `search.sentinels` (a few trials that
    are never pruned, e.g. `--set search.sentinels=0.2`) or with `--set search.pruner=none`.
    """
    plan = cli.find(study, conf=conf, assignments=assignments, quick=quick, dataset=dataset)
    import optuna

    from studies.auditing.audit import audit
    from studies.auditing.curves import read_curves
    from studies.report.audit_table import print_audit

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print_audit(plan, audit(plan, read_curves(plan), draws=draws, seed=seed))
