"""Run studies and look at them: ``studies run|list|show|status|export|reproduce|…``.

``python -m studies`` is the same program.
"""

from mnist_core.console.shadowed import exit_if_shadowed

if __name__ == "__main__":
    exit_if_shadowed()  # before any import that a user's file could break

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_core.console.command_line import VersionOption
from mnist_core.console.shell_words import as_started, by_script, program
from mnist_core.demo.demo_command import demo_command
from mnist_core.errors import ConfigError
from studies.cli import options
from studies.cli.archive import archive_command
from studies.cli.audit import audit_command
from studies.cli.clean import clean_command
from studies.cli.compare import compare_command
from studies.cli.copy import copy_command
from studies.cli.doctor.command import doctor_command
from studies.cli.init import init_command
from studies.cli.refine import refine_command
from studies.cli.rename import rename_command
from studies.cli.replay import replay_command
from studies.cli.report import report_command
from studies.cli.reproduce import reproduce_command
from studies.cli.sync import sync_command
from studies.cli.tables import tables_command
from studies.cli.wandb_report import wandb_report_command
from studies.cli.watch import watch_command
from studies.run import run

if TYPE_CHECKING:  # optuna and torch take seconds to import, and --help needs neither
    from studies.planning.plan import Plan

app = typer.Typer(
    add_completion=by_script(),  # a shell completes programs, not `python -m`
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run studies, and look at them.",
)


@app.callback()
def _options(version: VersionOption = False) -> None:
    del version  # its callback has handled it


app.command(no_args_is_help=True)(run)


@app.command("list")
def list_(
    assignments: options.SetOption = None,
    conf: options.ConfOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--results", metavar="FOLDER", help="list these, not those of results.folder"),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the studies that can be run, and those that exist: state, best, verdict, date, size.

    Those that exist lie in the folder of results, and in storage.url if the settings name one.
    Nothing is worked out again: the verdict is that of the study's result.json. A study that has
    none, or has run since, is "not judged"; `report` judges it. A narrow terminal leaves out
    columns, --json has all.

    Examples:
        python -m studies list

        python -m studies list --results /data/results
    """
    from studies.analysis.found_studies import catalog_studies, found_studies

    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--results: there is no folder {folder}")
    given = [] if folder is None else [f"results.folder={json.dumps(str(folder))}"]
    results, url = options.places(conf, [*(assignments or []), *given])
    options.quiet_optuna()
    found = list(found_studies(results, url))
    if as_json:
        from studies.report.overview_json import studies_json

        options.print_json(studies_json(catalog_studies(), results, found))
        return
    from studies.report.study_list import print_studies

    print_studies(catalog_studies(), results, found)


@app.command()
def config() -> None:
    """Print a file of all settings, each with its default and a comment.

    `python -m studies config > conf.toml` writes it to where it is read.
    """
    from studies.planning.settings import default_conf

    typer.echo(as_started(default_conf()), nl=False)


@app.command()
@options.on_study(argument=options.StudyArgument)
def show(chosen: options.Chosen, as_json: options.JsonOption = False) -> None:
    """Print the resolved plan: space and roles, every setting and its source.

    With a name: the plan that would run now, and how an existing study differs from it. With a
    folder: the plan that the study was run with.
    """
    from studies.analysis.foresight import power_lines
    from studies.planning import lookup

    if lookup.name_of(chosen.study, quick=chosen.quick) is None:
        plan = chosen.find()
        _show(plan, power_lines(plan), changed="", as_json=as_json)
        return
    plan = chosen.resolve()
    from mnist_core.files import check_writable
    from studies import engines
    from studies.analysis import stored_study
    from studies.planning.objective_checks import check_objective
    from studies.planning.recorded import changed_settings
    from studies.protocol.fork import check_made
    from studies.search.search_checks import check_search, notes
    from studies.storage.open import check_url

    options.quiet_optuna()
    check_objective(plan.spec.objective, plan.goals, engine=plan.settings.engine.name)
    check_search(plan)
    check_url(plan.storage_url)
    there = stored_study.exists(plan.location)
    if not there:
        check_writable(plan.folder, "results.folder")
    check_made(plan.commands)
    engines.create(plan.settings.engine.name, workers=plan.workers, threads=plan.threads)
    found = [*notes(plan), *power_lines(plan)]
    if not there:
        _show(plan, found, changed=None, as_json=as_json)
        return
    recorded = chosen.find(silent=True)
    changed = changed_settings(recorded.spec, recorded.settings, plan.settings)
    found.append(f"study {plan.name} has been run with {changed or 'these settings'}")
    if refused := stored_study.read(plan).differs:
        found.append(refused)
    _show(plan, found, changed=changed, as_json=as_json)


def _show(plan: "Plan", notes: list[str], *, changed: str | None, as_json: bool) -> None:
    if as_json:
        from studies.report.overview_json import plan_json

        options.print_json(plan_json(plan, notes, changed=changed))
        return
    from studies.report import overview

    overview.print_plan(plan)
    for note in notes:
        typer.echo(note)


@app.command()
@options.on_study()
def status(
    chosen: options.Chosen,
    failures: Annotated[
        bool, typer.Option("--failures", help="the reasons of failed trials, with a traceback each")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Print a study's progress, who runs it, and what it has found so far."""
    plan = chosen.find()
    from studies.analysis import stored_study
    from studies.report import overview

    found = stored_study.read(plan)
    if as_json:
        from studies.report.overview_json import status_json

        options.print_json(status_json(found, failures=failures))
        return
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
    *(archive_command, audit_command, clean_command, compare_command, copy_command),
    *(demo_command, doctor_command, init_command, refine_command, rename_command),
    *(replay_command, report_command, reproduce_command, sync_command, tables_command),
    *(wandb_report_command, watch_command),
):
    app.command(command.__name__.removesuffix("_command").replace("_", "-"))(command)


def main() -> None:
    """Run the command line and exit."""
    # The doctor runs with a broken conf.toml, too.
    options.main(app, program("studies"), opening_project=["doctor"])


if __name__ == "__main__":
    main()
