"""Look at studies: ``python -m studies list|show|status|export|reproduce|…``."""

from pathlib import Path
from typing import Annotated

import typer

from studies.cli import options
from studies.cli.audit import audit_command
from studies.cli.compare import compare_command
from studies.cli.copy import copy_command
from studies.cli.refine import refine_command
from studies.cli.replay import replay_command
from studies.cli.report import report_command
from studies.cli.reproduce import reproduce_command
from studies.cli.sync import sync_command
from studies.cli.tables import tables_command
from studies.cli.wandb_report import wandb_report_command
from studies.cli.watch import watch_command

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at studies. To run one: python -m studies.run STUDY",
)


def _version(asked: bool) -> None:
    if asked:
        from mnist_core.version import PACKAGE, package_version

        typer.echo(f"{PACKAGE} {package_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    del version  # its callback has handled it


@app.command("list")
def list_() -> None:
    """List all studies with their goals."""
    from studies.report import overview

    overview.print_studies()


@app.command()
@options.on_study(argument=options.StudyArgument)
def show(chosen: options.Chosen) -> None:
    """Print the resolved plan: space and roles, every setting and its source.

    With a name: the plan that would run now, and how an existing study differs from it. With a
    folder: the plan that the study was run with.
    """
    from studies.analysis.foresight import power_lines
    from studies.planning import lookup

    if lookup.name_of(chosen.study, quick=chosen.quick) is None:
        plan = chosen.find()
        from studies.report import overview

        overview.print_plan(plan)
        for note in power_lines(plan):
            typer.echo(note)
        return
    plan = chosen.resolve()
    from mnist_core.files import check_writable
    from studies import engines
    from studies.analysis import stored_study
    from studies.planning.objective_class import check_objective
    from studies.planning.recorded import changed_settings
    from studies.protocol.fork import check_made
    from studies.report import overview
    from studies.search.search_checks import check_search, notes
    from studies.storage.open import check_url

    options.quiet_optuna()
    check_objective(plan.spec.objective, plan.goals)
    check_search(plan)
    check_url(plan.storage_url)
    there = stored_study.exists(plan.location)
    if not there:
        check_writable(plan.folder, "results.folder")
    check_made(plan)
    engines.create(plan.settings.engine.name, workers=plan.workers, threads=plan.threads)
    overview.print_plan(plan)
    for note in (*notes(plan), *power_lines(plan)):
        typer.echo(note)
    if not there:
        return
    recorded = chosen.find(silent=True)
    changed = changed_settings(recorded.spec, recorded.settings, plan.settings)
    typer.echo(f"study {plan.name} has been run with {changed or 'these settings'}")
    refused = stored_study.read(plan).differs
    if refused:
        typer.echo(refused)


@app.command()
@options.on_study()
def status(
    chosen: options.Chosen,
    failures: Annotated[
        bool, typer.Option("--failures", help="the reasons of failed trials, with a traceback each")
    ] = False,
) -> None:
    """Print a study's progress, who runs it, and what it has found so far."""
    plan = chosen.find()
    from studies.analysis import stored_study
    from studies.report import overview

    found = stored_study.read(plan)
    overview.print_status(found)
    if failures:
        overview.print_failures(found)


@app.command()
@options.on_study()
def export(
    chosen: options.Chosen,
    trial: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="write search trial N, as trial_N.toml")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write here, not in the study's folder")
    ] = None,
) -> None:
    """Write best_config.toml again from the database, or with --trial any search trial."""
    plan = chosen.find()
    from studies.analysis import stored_study
    from studies.analysis.export import write_best_config, write_trial

    if trial is not None:
        found = stored_study.read(plan).comparable()
        file = write_trial(found, trial, out)
        typer.echo(f"trial {trial}: {file}")
        return
    typer.echo(f"best configuration: {write_best_config(stored_study.read(plan).finished(), out)}")


@app.command()
@options.on_study(without=["dataset"])
def dashboard(
    chosen: options.Chosen,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="0: any free port")
    ] = 8080,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="0.0.0.0: other machines can see it, too")
    ] = "127.0.0.1",
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="open it in the browser")
    ] = True,
) -> None:
    """Serve Optuna's dashboard of a study, also while it runs. Ctrl-C ends it.

    Each trial has a note, pictures of its curve and confusion matrix, and a link to its kept model.
    The study has its report as a note, and figures to choose from. All are made when you open them:
    nothing is written, and you can add only notes and files.
    """
    plan = chosen.find()
    from studies.dashboard import serve as served

    served.serve(plan, host=host, port=port, open_browser=open_browser)


for command in (
    *(audit_command, compare_command, copy_command, refine_command, report_command),
    *(replay_command, reproduce_command, sync_command, tables_command),
    *(wandb_report_command, watch_command),
):
    app.command(command.__name__.removesuffix("_command").replace("_", "-"))(command)

if __name__ == "__main__":
    options.main(app, "python -m studies")
