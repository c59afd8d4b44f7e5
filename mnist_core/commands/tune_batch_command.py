"""``python -m mnist_core tune-batch``: the largest and the fastest batch."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mnist_core.commands import options
from mnist_core.commands.tune_command import described, progress_bar
from mnist_core.config import TrainConfig
from mnist_core.console.safe_console import text_console
from mnist_core.console.shell_words import argument, command
from mnist_core.console.streams import can_redraw
from mnist_core.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.finders.batch_finder import Found


def tune_batch_command(
    config_file: options.ConfigFile = None,
    model: options.ModelName = None,
    dataset: options.DataName = None,
    seed: options.Seed = None,
    device: options.Device = None,
    assignments: options.Assignments = None,
    low: Annotated[int, typer.Option(help="smallest batch")] = 32,
    high: Annotated[int, typer.Option(help="largest batch; never more than an epoch")] = 65_536,
    share: Annotated[
        float, typer.Option(help="fraction of the free memory that may be used")
    ] = 0.8,
    seconds: Annotated[
        float, typer.Option(help="seconds of training for each size and round")
    ] = 0.5,
    repeats: Annotated[int, typer.Option(help="rounds over all sizes; the median counts")] = 5,
) -> None:
    """Find the largest batch that fits into memory, and the fastest one, by trying.

    Sizes are doubled until one does not fit, then the largest is narrowed down. Each is tried in a
    process of its own, and only that process runs out of memory. Then all sizes are timed in turn.
    The suggestion is the smallest that is within 5 % of the fastest: at the same speed, smaller
    batches take more steps an epoch and learn more from it. It is about speed only. Which batch
    size learns best is a question for a study that tunes the learning rate of each.

    Examples:
        python -m mnist_core tune-batch --model net

        python -m mnist_core tune-batch --model siamese --low 64 --high 1024
    """
    config = options.tuned(config_file, assignments, model, dataset, seed, device)
    if not 0 < share <= 1:
        raise ConfigError(f"--share must be above 0 and at most 1, but got {share:g}")
    from mnist_core import train as trainer
    from mnist_core.data.host_memory import free_memory
    from mnist_core.finders import batch_finder
    from mnist_core.finders.isolated import Isolated

    config = trainer.resolve(config)
    epoch = _images_an_epoch(config)
    on_cpu = config.device == "cpu"
    budget = int(share * free_memory()) if on_cpu else None
    console = text_console(120)
    console.print(
        f"{described(config)}: batches of {low:,} to {min(high, epoch):,} of {epoch:,} an epoch; "
        f"memory {_size(budget) + ', ' if budget else ''}{share:.0%} of what is free"
    )
    measure = partial(batch_finder.measure, config, share)
    with (
        progress_bar(console) as progress,
        Isolated[batch_finder.Measured](measure, memory=budget) as isolated,
    ):
        bar = progress.add_task("", total=1.0)
        stages: list[str] = []

        def on_progress(stage: str, tried: str, done: float) -> None:
            progress.update(bar, completed=done, description=f"{stage}: {tried}")
            if not can_redraw(console.file) and stage not in stages:
                console.print(stage)
            stages.append(stage)

        found = batch_finder.find(
            isolated,
            low=low,
            high=min(high, epoch),
            seconds=seconds,
            repeats=repeats,
            memory_limit=budget,
            on_progress=on_progress,
        )
    _print_sizes(console, found, epoch)
    limit = "memory allows no more" if found.limited else "the end of the range"
    console.print(f"largest: {found.largest:,} ({limit}); fastest: {found.fastest:,}")
    console.print(
        f"suggestion: --set batch_size={found.suggestion} (the smallest within "
        f"{batch_finder.NEARLY:.0%} of the fastest)"
    )
    if found.unsteady:
        console.print(
            f"doubtful: from round to round the speed of a size differs by {found.spread:.0%}; "
            "something else keeps this machine busy. Repeat it when that is done"
        )
    again: list[Any] = [argument(config_file)] if config_file else []
    given = {"--model": model, "--dataset": dataset, "--seed": seed, "--device": device}
    for option, value in given.items():
        again += [option, value] if value is not None else []
    # A later --set wins over an earlier one.
    for text in [*(assignments or []), f"batch_size={found.suggestion}"]:
        again += ["--set", text]
    console.print(
        "Another batch size needs another learning rate: "
        + command("mnist_core", "tune-lr", *again)
    )


def _images_an_epoch(config: TrainConfig) -> int:
    """Return the length of an epoch in images (or pairs); computed on the CPU."""
    from mnist_core import tasks
    from mnist_core.data import load
    from mnist_core.device import runtime

    one = config.model_copy(update={"batch_size": 1, "device": "cpu", "precision": "fp32"})
    return len(tasks.create(one, load(one.data, "cpu"), runtime.resolve(one)))


def _print_sizes(console: Console, found: "Found", epoch: int) -> None:
    table = Table(box=box.SIMPLE, padding=(0, 1))
    for name in ("batch", "images/s", "spread", "of the best", "steps", "epoch", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    best = max(size.rate for size in found.sizes if size.rates)
    for size in found.sizes:
        n = size.batch_size
        memory = "too much" if size.peak is None else _size(size.peak)
        if not size.rates:
            # Of those that fit, the largest is timed; bisection's other sizes are not.
            note = "largest, fits only with all memory to itself" if n == found.largest else ""
            table.add_row(f"{n:,}", "", "", "", f"{-(-epoch // n):,}", "", memory, note)
            continue
        kinds = {"largest": found.largest, "fastest": found.fastest, "suggested": found.suggestion}
        table.add_row(
            f"{n:,}",
            f"{size.rate:,.0f}",
            f"{size.spread:.0%}",
            f"{size.rate / best:.0%}",
            f"{-(-epoch // n):,}",
            f"{epoch / size.rate:.1f} s",
            memory,
            ", ".join(kind for kind, which in kinds.items() if which == n),
        )
    console.print(table)


def _size(n_bytes: float) -> str:
    mebibytes = n_bytes / 2**20
    return f"{mebibytes:,.0f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:,.1f} GiB"
