"""Look at studies: ``python -m studies list|show|status|export|reproduce|…``."""

from pathlib import Path
from typing import Annotated

import typer

from studies import cli
from studies.commands.audit_command import audit_command
from studies.commands.compare_command import compare_command
from studies.commands.copy_command import copy_command
from studies.commands.replay_command import replay_command
from studies.commands.report_command import report_command
from studies.commands.reproduce_command import reproduce_command
from studies.commands.sync_command import sync_command
from studies.commands.tables_command import tables_command
from studies.commands.wandb_report_command import wandb_report_command
from studies.commands.watch_command import watch_command

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at studies. To run one: python -m studies.run STUDY",
)


def _version(asked: bool) -> None:
    if asked:
        from studies.planning.environment import PACKAGE, package_version

        typer.echo(f"{PACKAGE} {package_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    del version  # dealt with by its callback


@app.command("list")
def list_() -> None:
    """List all studies with their goals."""
    from studies.report import overview

    overview.print_studies()


@app.command()
def show(
    study: cli.StudyArgument,
    dataset: cli.DatasetOption = None,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Print the resolved plan: space and roles, every setting and where it comes from.

    By its name it is what would be run now, and how a study that is there already differs from it;
    by its folder it is what the study was run with.
    """
    from studies.planning import named

    if named.name_of(study, quick=quick) is None:
        plan = cli.find(study, conf=conf, assignments=assignments, quick=quick, dataset=dataset)
        from studies.report import overview

        overview.print_plan(plan)
        return
    plan = cli.resolve(
        study, conf=conf, assignments=assignments, quick=quick, options={"data.name": dataset}
    )
    import optuna

    from studies import engines
    from studies.book import stored
    from studies.book.opening import check_search
    from studies.forks.forking import check_made
    from studies.planning.machine import check_folder
    from studies.planning.objective_class import check_objective
    from studies.planning.recorded import changed_settings
    from studies.report import overview
    from studies.search.search_checks import notes
    from studies.storages.storage import check_url

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_objective(plan)
    check_search(plan)
    check_url(plan.storage_url)
    there = stored.exists(plan)
    if not there:
        check_folder(plan.folder)
    check_made(plan)
    engines.create(plan.settings.engine.name, workers=plan.workers, threads=plan.threads)
    overview.print_plan(plan)
    for note in notes(plan):
        typer.echo(note)
    if not there:
        return
    sets = {} if dataset is None else {"data.name": dataset}
    was = named.find(study, conf=conf, assignments=assignments, sets=sets, quick=quick)
    changed = changed_settings(was, plan.settings)
    typer.echo(f"study {plan.name} has been run with {changed or 'these settings'}")
    refused = stored.read(plan).differs
    if refused:
        typer.echo(refused)


@app.command()
def status(
    study: cli.RunStudyArgument,
    dataset: cli.DatasetOption = None,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
    failures: Annotated[
        bool, typer.Option("--failures", help="why trials failed, with a traceback of each reason")
    ] = False,
) -> None:
    """Print how far a study is, who runs it, and what it found so far."""
    plan = cli.find(study, conf=conf, assignments=assignments, quick=quick, dataset=dataset)
    from studies.book import stored
    from studies.report import overview

    found = stored.read(plan)
    overview.print_status(found)
    if failures:
        overview.print_failures(found)


@app.command()
def export(
    study: cli.RunStudyArgument,
    trial: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="this search trial, as trial_N.toml")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="instead of the study's folder")
    ] = None,
    dataset: cli.DatasetOption = None,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Write best_config.toml again, from the database; with --trial any trial of the search."""
    plan = cli.find(study, conf=conf, assignments=assignments, quick=quick, dataset=dataset)
    from studies.book import stored
    from studies.export import write_best_config, write_trial

    if trial is not None:
        found = stored.read(plan).comparable()
        file = write_trial(found.plan, found.search, trial, out, environment=found.environment)
        typer.echo(f"trial {trial}: {file}")
        return
    typer.echo(f"best configuration: {write_best_config(stored.read(plan).finished(), out)}")


@app.command()
def dashboard(
    study: cli.RunStudyArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="0: any free port")
    ] = 8080,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="0.0.0.0 lets other machines look, too")
    ] = "127.0.0.1",
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="open it in the browser")
    ] = True,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Serve Optuna's dashboard on a study, also while it runs. Ctrl-C ends it.

    Each trial has a note, pictures of its curve and confusion matrix, and a link to its kept model;
    the study has its report as a note, and figures by choice. They are made as you look at them:
    nothing is written, and only notes and files of yours can be added.
    """
    plan = cli.find(study, conf=conf, assignments=assignments, quick=quick)
    from studies import dashboard as served

    served.serve(plan, host=host, port=port, open_browser=open_browser)


app.command("audit")(audit_command)
app.command("compare")(compare_command)
app.command("copy")(copy_command)
app.command("report")(report_command)
app.command("tables")(tables_command)
app.command("replay")(replay_command)
app.command("reproduce")(reproduce_command)
app.command("sync")(sync_command)
app.command("wandb-report")(wandb_report_command)
app.command("watch")(watch_command)

if __name__ == "__main__":
    cli.main(app, "python -m studies")
