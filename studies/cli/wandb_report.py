"""``python -m studies wandb-report STUDY``: a report of a study on W&B."""

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from mnist_core.errors import UserError
from studies.cli import options


@options.on_study()
def wandb_report_command(
    chosen: options.Chosen,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the report as JSON there, and send nothing"),
    ] = None,
) -> None:
    """Make a W&B report of a study: question, answer, confirmed table, panels of its runs.

    The panels show the runs that `python -m studies sync STUDY` has uploaded. It needs the extra
    `wandb-report`: pip install 'mnist-studies[wandb-report]'.
    """
    plan = chosen.find()
    from mnist_core.files import write_atomically
    from mnist_core.tracking.wandb_account import AccountProblem, check_account
    from mnist_core.tracking.wandb_internals import report_json, server
    from studies.core.event_log import FILE
    from studies.tracking.follow import read_study
    from studies.tracking.wandb_report import build

    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError(
            "wandb-report needs the package wandb-workspaces, which is not installed:"
            " pip install 'mnist-studies[wandb-report]'"
        )
    made = read_study(plan.folder / FILE)
    if made is None:
        raise UserError(
            f"{plan.folder / FILE}: there are no events of the study; run it, or make them from the"
            f" database: {plan.commands.look('sync', '--tracker', 'wandb', '--no-upload')}"
        )
    own = plan.settings.tracking.wandb
    command = plan.commands.run()
    if out is not None:
        report = build(made, project=own.project, entity=own.entity, command=command)
        write_atomically(out, json.dumps(report_json(report), indent=1) + "\n")
        typer.echo(f"report: {out}")
        return
    try:
        check_account()
    except AccountProblem as problem:
        raise UserError(f"wandb: {problem}; --out FILE writes the report without it") from None
    import wandb

    try:
        entity = own.entity or wandb.Api().default_entity
    except Exception as error:  # W&B raises plain ones, too
        raise _refused(error) from None
    if not entity:
        raise UserError("wandb: this account has no default entity; set tracking.wandb.entity")
    url = f"{server()}/{entity}/{own.project}/runs/{made.id}-study"
    report = build(made, project=own.project, entity=entity, command=command, url=url)
    try:
        report.save()
    except Exception as error:
        raise _refused(error) from None
    typer.echo(f"report: {report.url}")


def _refused(error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(
        f"wandb: the report cannot be sent: {reason[:200]}; --out FILE writes it without the server"
    )
