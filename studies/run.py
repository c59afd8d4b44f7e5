"""Run a study: ``python -m studies.run optim_search --quick``."""

import functools
import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from studies import engines
from studies.cli import options
from studies.engines.base import Resources
from studies.planning import resources
from studies.planning.objective_class import check_objective

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


@app.command(no_args_is_help=True)
@options.on_study(argument=options.StudyArgument)
def run(
    chosen: options.Chosen,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="the fork's name, with --fork", show_default=False),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="search trials in all, over all resumes")
    ] = None,
    trials_complete: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="end the search when N trials have run their full budget, or after --trials"
            " (left out: 10 N)",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=options.workers, help="trials at once; auto: fills the machine"
        ),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="where trials run: local, inline or ray")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="a running Ray cluster: auto, or host:port"),
    ] = None,
    enqueue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="try this configuration first, e.g. a best_config.toml; the sampler chooses what"
            " it leaves out (may be repeated)",
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="teach the sampler results from elsewhere, which are not trials of the study: CSV,"
            " a column for each parameter and one for the metric (may be repeated)",
        ),
    ] = None,
    learn_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STUDY",
            help="learn from an earlier study on a similar space: its best configuration of each"
            " choice is the choice's second trial, and the sampler leans to where it was good, as"
            " far as both agree; a name, a folder, URL#NAME of a database, or all (may be"
            " repeated)",
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="async (default), or batch: the same trials for any number of workers",
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="trackers: wandb,tensorboard,mlflow, or none"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1 …")
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume",
            help="start fresh and move the old study aside, or resume it (default)",
        ),
    ] = False,
    fork: Annotated[
        bool,
        typer.Option(
            "--fork",
            help="after a change of settings: continue in a new study, STUDY-NAME (or STUDY-2 …),"
            " with the trials that fit",
        ),
    ] = False,
    plain: options.PlainOption = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="take the study from a process on another machine that has ended"
        ),
    ] = False,
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="search together with all processes that run this with --join, on any machine;"
            " needs PostgreSQL or a journal",
        ),
    ] = False,
    read_test_again: Annotated[
        bool,
        typer.Option(
            "--read-test-again",
            help="read the test set for models confirmed after it was read; this is recorded",
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="run failed trials again, with their params and seeds"),
    ] = False,
    save_svg: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="save the view and the result as a picture"),
    ] = None,
) -> None:
    """Run a study to its end: search, confirm on fresh seeds, read the test set once, report.

    To resume an interrupted study, run the same command again. Ctrl-C once lets the running trials
    finish, twice ends them now; nothing is lost either way.

    **Examples**

    - a small run in seconds: `python -m studies.run optim_search --quick`

    - the whole study: `python -m studies.run optim_search`

    - more trials than before: `python -m studies.run optim_search --trials 90`

    - other images, settings and folder:
      `python -m studies.run optim_search --dataset fashion_mnist --set epochs=10
      --set results.folder=results/fashion`

    - after a change of the space or a setting: `python -m studies.run optim_search --fork wide`
      makes or resumes the study `optim_search-wide`, with the trials that still fit

    `python -m studies show STUDY` prints the plan first. `python -m studies dashboard STUDY` opens
    Optuna's dashboard, also while the study runs.
    """
    if name is not None and not fork:
        raise typer.BadParameter(f"{name}: a second name is the name of a fork; add --fork")
    if fork and fresh:
        raise typer.BadParameter("--fork leaves the study as it is; leave --fresh out")
    if ray_address and engine not in (None, "ray"):
        raise typer.BadParameter(f"--ray-address is for --engine ray, but got --engine {engine}")
    plan = chosen.resolve(
        {
            "search.trials": trials,
            "search.trials_complete": trials_complete,
            "search.enqueue": enqueue or None,
            "search.imports": imports or None,
            "search.learn_from": learn_from or None,
            "engine.workers": workers,
            "engine.name": engine or ("ray" if ray_address else None),
            "engine.ray.address": ray_address,
            "search.order": order,
            "tracking.trackers": options.trackers(track),
            "device": device,
        }
    )
    # Before workers start: a user's own file may be anything.
    check_objective(plan.spec.objective, plan.goals)
    with engines.create(
        plan.settings.engine.name,
        workers=plan.workers,
        threads=plan.threads,
        preload=["mnist_core.train"],
        resources=Resources(
            affinity=plan.settings.engine.affinity,
            gpus=plan.gpus,
            most=plan.most_workers,
            ray=resources.claims(plan.settings.engine, plan.train.device),
            say=functools.partial(print, file=sys.stderr, flush=True),
        ),
    ) as started:
        plan = engines.adapted(plan, started)
        # Workers import torch while this process imports Optuna and the rest.
        from studies.cli import foreground

        code = foreground.run(
            plan,
            started,
            fresh=fresh,
            plain=plain,
            take_over=take_over,
            join=join,
            read_test_again=read_test_again,
            retry_failed=retry_failed,
            fork=(name or "") if fork else None,
            save_svg=save_svg,
            arguments=sys.argv[1:],
        )
    gc.freeze()  # or Python looks for garbage in every module at its exit: a third of a second
    raise typer.Exit(code)


if __name__ == "__main__":
    options.main(app, "python -m studies.run")
