"""``python -m mnist_core presets``: trainings with a name and a claim."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from mnist_core import presets
from mnist_core.commands import options
from mnist_core.config import TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.console.safe_console import text_console
from mnist_core.console.streams import can_redraw
from mnist_core.errors import ConfigError
from mnist_core.presets import Preset
from mnist_core.table import ABSENT, as_assignment, difference

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.presets.outcome import Row
    from mnist_core.presets.runs import Job, Results

app = typer.Typer(no_args_is_help=True, help="Trainings with a name and a claim.")


@app.command("list")
def list_command() -> None:
    """List all presets."""
    table = Table(box=box.SIMPLE)
    for column in ("name", "what", "claim"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name in presets.names():
        preset = presets.load(name)
        table.add_row(name, preset.about.title, preset.about.claim)
    text_console().print(table)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a preset; see `presets list`")],
) -> None:
    """Show a preset: what it is, its claim, its deviations from the source, and its settings.

    Settings that are not shown are the defaults.
    """
    preset = presets.load(name)
    about, console = preset.about, text_console()
    console.print(f"{name}: {about.title}")
    console.print(f"from: {about.source}")
    console.print(f"claim: {about.claim}")
    for note in about.notes:
        console.print(f"  - {note}")
    console.print()
    common = _settings(preset.config, TrainConfig())
    for line in common:
        console.print(line)
    if len(preset.variants) > 1:
        for variant in preset.variants:
            own = _settings(preset.config_of(variant), preset.config)
            console.print(f"variant {variant.name}: {', '.join(own)}")


@app.command("run")
def run_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a preset; see `presets list`")],
    n_seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="trainings of each variant")
    ] = None,
    first_seed: Annotated[int, typer.Option("--seed", min=0, help="the first seed")] = 0,
    chosen: Annotated[
        list[str] | None, typer.Option("--variant", help="only this variant; may be repeated")
    ] = None,
    dataset: options.DataName = None,
    assignments: options.Assignments = None,
    test: Annotated[
        bool, typer.Option("--test", help="read the test images, once of each model, at the end")
    ] = False,
    test_root: Annotated[
        str, typer.Option(help="folder of the test images' data set, if that is another")
    ] = "",
    folder: Annotated[Path, typer.Option(help="results go into a folder NAME there")] = Path(
        "results/presets"
    ),
) -> None:
    """Train a preset with several seeds and print the results beside the claims.

    What is done already, with the same settings and data, is not done again: an interrupted preset
    resumes where it stopped. Nothing is chosen by the test images.

    Examples:
        python -m mnist_core presets run siamese_10pct --test

        python -m mnist_core presets run optimizer_compare --dataset mnist-10pct --seeds 5
    """
    preset = presets.load(name)
    changes = options.changes(assignments, data__name=dataset)
    if "seed" in changes:
        raise ConfigError("--set seed: the seeds are given by --seed (the first) and --seeds")
    variants = [preset.variant(text) for text in chosen] if chosen else list(preset.variants)
    seeds = range(first_seed, first_seed + (n_seeds or preset.about.seeds))

    from mnist_core.presets import outcome, runs

    jobs = runs.plan(preset, variants, seeds, changes)
    results = runs.Results(folder / name)
    source = runs.data_to_test_on(preset, jobs[0], test_root)
    if test:
        runs.check_test(source, jobs[0].config.device)
    console = text_console()
    for number, job in enumerate(jobs, start=1):
        place = f"[{number}/{len(jobs)}] {job.variant.name}, seed {job.config.seed}"
        entry = results.find(job, test=source.name if test else "")
        kept = "" if entry is None else " (done before)"
        entry = entry or _train(job, results, console, place)
        console.print(f"{place}: {_ended(preset, entry)}{kept}")
    if test:
        now = sum(runs.read_test(job, results, source) for job in jobs)
        console.print(f"test images of {source.name}: {counted(now, 'model')} judged, each once")
    trainings = [
        (variant, [results.find(job) or {} for job in jobs if job.variant == variant])
        for variant in variants
    ]
    rows = outcome.rows(preset, trainings, source.name)
    results.sum_up([row.to_dict() for row in rows], jobs)
    _print(console, preset, rows, source.name, jobs[0].config)
    if changes:
        said = ", ".join(f"{key}={value}" for key, value in changes.items())
        console.print(f"! changed on the command line: {said}; claim and notes are of the preset")
    console.print(f"all of it: {results.folder / runs.RESULT}")


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Option(help="where presets were run")] = Path("results/presets"),
) -> None:
    """Print the results of all presets beside their claims, as a Markdown table.

    The table holds the presets that were run, each with its latest results.

    Examples:
        python -m mnist_core presets report > docs/presets.md
    """
    from mnist_core.presets import report

    text_console().print(report.markdown(folder))


def _train(job: "Job", results: "Results", console: Console, place: str) -> dict[str, Any]:
    from mnist_core.presets import runs

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    off = not can_redraw(console.file)
    with Progress(*columns, *times, console=console, disable=off, transient=True) as progress:
        total = job.config.epochs * job.config.reports_per_epoch
        # A description is markup.
        bar = progress.add_task(place.replace("[", r"\["), total=total, said="")

        def report(step: int, metrics: Mapping[str, float]) -> None:
            said = f"validation accuracy {metrics['val_accuracy']:.2%}"
            progress.update(bar, completed=step, said=said)

        return runs.run(job, results, report)


def _ended(preset: Preset, entry: Mapping[str, Any]) -> str:
    if "failed" in entry:
        return f"failed: {entry['failed']}"
    from mnist_core.presets import report

    metric = preset.about.metric
    value = entry["metrics"].get(f"val_{metric}", math.nan)
    return f"validation {metric} {report.number(metric, value)}, {entry['seconds']:.1f} s"


def _print(
    console: Console, preset: Preset, rows: list["Row"], test_on: str, config: TrainConfig
) -> None:
    from mnist_core.presets import report

    table = Table(box=box.MARKDOWN)
    for column in report.COLUMNS:
        justify: JustifyMethod = "left" if column in ("variant", "metric") else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*report.cells(row))
    console.print()
    console.print(f"{preset.name}: {preset.about.title}")
    console.print(table)
    console.print(
        f"trained on {config.data.name}, tested on {test_on}; mean ± 95 % t interval over n seeds:"
        " it covers the randomness of training, not the choice of the images; s: seconds a training"
        f" on {config.device}, {config.precision}"
    )
    if any(row.test is None for row in rows):
        console.print("test: not read; --test reads the test images, once of each model")
    for note in preset.about.notes:
        console.print(f"- {note}")


def _settings(config: TrainConfig, base: TrainConfig) -> list[str]:
    found = difference(base.to_dict(), config.to_dict())
    return [as_assignment(name, value) for name, _, value in found if value is not ABSENT]
