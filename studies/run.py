"""Run a study: ``studies run optim_search``, or ``python -m studies.run optim_search``."""

from mnist_core.console.shadowed import exit_if_shadowed

if __name__ == "__main__":
    exit_if_shadowed()  # before any import that a user's file could break

import gc
import sys
import types
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_core.console.shell_words import program
from mnist_core.tracking import split
from studies.cli import options
from studies.cli.start import start
from studies.core.quiet_imports import import_tqdm

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(no_args_is_help=True)
@options.on_study(argument=options.StudyArgument)
def run(
    chosen: options.Chosen,
    context: typer.Context,
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
        str | None,
        typer.Option(metavar="NAME", help="where trials run: local, inline, fused or ray"),
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

    `python -m studies show STUDY` prints the plan first. `python -m studies dashboard STUDY` opens
    Optuna's dashboard, also while the study runs. After a change of the space or a setting, `--fork
    wide` makes or resumes the study `STUDY-wide`, with the trials that still fit.

    Examples:
        python -m studies.run optim_search --quick

        python -m studies.run optim_search --trials 90

        python -m studies.run optim_search --dataset fashion_mnist --set epochs=10

        python -m studies.run optim_search --fork wide
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
            "tracking.trackers": split(track),
            "device": device,
        }
    )
    code = start(
        plan,
        # `studies run …` has the command in its words, too.
        arguments=sys.argv[2 if context.parent else 1 :],
        fresh=fresh,
        plain=plain,
        take_over=take_over,
        join=join,
        read_test_again=read_test_again,
        retry_failed=retry_failed,
        fork=(name or "") if fork else None,
        save_svg=save_svg,
    )
    gc.freeze()  # or Python looks for garbage in every module at its exit: a third of a second
    raise typer.Exit(code)


class _Run(types.ModuleType):
    """This module, which is called as a function: ``studies.run("optim_search")``."""

    @staticmethod
    def __call__(*given: Any, **named: Any) -> Any:
        """Do what ``studies.python_api.run`` does."""
        import_tqdm()
        from studies import python_api

        return python_api.run(*given, **named)


if __name__ == "__main__":
    options.main(app, program("studies.run"))
else:  # a function in the package would be lost as soon as this module is imported
    sys.modules[__name__].__class__ = _Run
