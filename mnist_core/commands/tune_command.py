"""``python -m mnist_core tune-lr``: a learning rate to try."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mnist_core import files
from mnist_core.commands import options
from mnist_core.config import TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.console.safe_console import text_console
from mnist_core.console.streams import can_redraw
from mnist_core.errors import UserError

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.finders.lr_finder import RangeTest


def tune_lr_command(
    config_file: options.ConfigFile = None,
    model: options.ModelName = None,
    dataset: options.DataName = None,
    seed: options.Seed = None,
    device: options.Device = None,
    assignments: options.Assignments = None,
    low: Annotated[float, typer.Option(help="first learning rate")] = 1e-7,
    high: Annotated[float, typer.Option(help="last learning rate")] = 10.0,
    steps: Annotated[int, typer.Option(help="steps from one to the other")] = 200,
    folder: Annotated[Path, typer.Option(help="where the picture and the CSV go")] = Path(
        "results/tune-lr"
    ),
) -> None:
    """Find a learning rate: a range test (Smith 2017), which takes seconds.

    A fresh model is trained while the learning rate grows at every step. First nothing happens,
    then the loss falls, at last it rises. The suggestion is where it falls fastest: a safe start,
    often somewhat low. The best tends to lie between it and where the loss is lowest.
    The picture shows the whole curve: look at it. The answer holds for this model, optimizer, batch
    size and augmentation; change one of them and test again.

    Examples:
        python -m mnist_core tune-lr --model net --set optim.name=adam

        python -m mnist_core tune-lr --model cnn --set optim.name=sgd --set batch_size=256

        python -m mnist_core tune-lr results/optim_search/best_config.toml --steps 400
    """
    config = options.tuned(config_file, assignments, model, dataset, seed, device)
    from mnist_core import train as trainer
    from mnist_core.data import load
    from mnist_core.finders import lr_finder

    config = trainer.resolve(config)
    name = f"{config.model.name}-{config.data.name}-{config.optim.name}-b{config.batch_size}"
    picture, table = _places(folder, f"{name}-s{config.seed}")
    console = text_console(120)
    console.print(
        f"{described(config)}, batch {config.batch_size}: {counted(steps, 'step')}, "
        f"learning rate {low:g} to {high:g}"
    )
    with progress_bar(console) as progress:
        bar = progress.add_task("range test", total=steps)

        def on_step(number: int, lr: float, loss: float) -> None:
            progress.update(
                bar, completed=number, description=f"learning rate {lr:.1e}  loss {loss:.4f}"
            )

        test = lr_finder.find(
            config,
            load(config.data, config.device),
            low=low,
            high=high,
            steps=steps,
            on_step=on_step,
        )
    lr_finder.write_csv(test, table)
    lr_finder.write_plot(test, picture, title=f"{described(config)}, batch {config.batch_size}")
    _print_range_test(console, test)
    console.print(f"picture {picture}, losses {table}")
    if test.suggestion is None:
        raise UserError(f"no learning rate to suggest: {test.problem}")
    if test.problem:
        console.print(f"doubtful: {test.problem}")
    console.print(f"suggestion: --set optim.lr={test.suggestion:.2g}")


def described(config: TrainConfig) -> str:
    """Return model, data, optimizer and machine in words."""
    return (
        f"{config.model.name} on {config.data.name}, {config.optim.name}; "
        f"{config.device}, {config.precision}, {counted(config.threads, 'thread')}"
    )


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    """Return where the picture and the table go, before anything is computed for them."""
    files.prepare_folder(folder, "--folder")
    return folder / f"{name}.png", folder / f"{name}.csv"


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """Return a bar that is gone when it is done; in a pipe there is none."""
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    off = not can_redraw(console.file)
    with Progress(*columns, console=console, transient=True, disable=off) as progress:
        yield progress


def _print_range_test(console: Console, test: "RangeTest") -> None:
    table = Table(box=box.SIMPLE, padding=(0, 1))
    table.add_column("learning rate", justify="right", no_wrap=True)
    table.add_column("what happens there")
    for lr, text in (
        (test.lower, "the loss begins to fall: a cautious choice, not below"),
        (test.suggestion, "it falls fastest: suggested"),
        (test.lowest, "it is lowest: a training may fail here; the best is often between"),
        (test.diverged, "it has risen so far that the test was ended"),
    ):
        if lr is not None:
            table.add_row(f"{lr:.2g}", text)
    console.print(table)
