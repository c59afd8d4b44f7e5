"""``python -m studies watch STUDY``: the live view of a study that runs elsewhere."""

from typing import Annotated

import typer

from studies import cli


def watch_command(
    study: cli.RunStudyArgument,
    plain: Annotated[
        bool, typer.Option("--plain", help="lines instead of the live view, also on a terminal")
    ] = False,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Show a study that another process runs, as its own terminal does, until it ends or Ctrl-C.

    It reads the study's log of events and changes nothing.
    """
    plan = cli.find(study, conf=conf, assignments=assignments, quick=quick)
    import optuna

    from studies.report.console import make_console
    from studies.watching import watch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    watch(plan, make_console(), plain=plain)
