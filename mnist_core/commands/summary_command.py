"""``python -m mnist_core summary``: a model's layers, parameters, operations and memory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from mnist_core.commands import options
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.console.safe_console import text_console
from mnist_core.data import load, own_images, registry
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.checkpoints.summary import Summary


def summary_command(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|CONFIG.toml",
            help="model.name, e.g. siamese; or a TOML file, e.g. a best_config.toml; or both",
            show_default=False,
        ),
    ] = None,
    dataset: options.DataName = None,
    assignments: options.Assignments = None,
) -> None:
    """Print the layers of a model: shapes, parameters, operations and memory.

    MODEL and --set win over CONFIG.toml. Nothing is trained. The model is built for the images of
    the data set; those of MNIST's form need not be there.

    Examples:
        python -m mnist_core summary siamese

        python -m mnist_core summary flex_cnn --set model.depth=3 --set model.norm=group

        python -m mnist_core summary resnet18 --dataset pictures
    """
    config = _configuration(targets or [], assignments, dataset)
    from mnist_core.checkpoints.summary import summarise

    images, n_classes = _images(config.data)
    if images != MNIST:
        text_console().print(f"images: {images}, {counted(n_classes, 'class', 'classes')}")
    _print(summarise(config.model, n_classes, images), batch_size=config.batch_size)


def _images(config: DataConfig) -> tuple[Images, int]:
    """Return what the images of a data set are, and the number of their classes."""
    source = own_images.OwnSource.of(config)
    if source is not None:
        found = own_images.read(source)
        return found.about, found.found.n_classes
    known = registry.by_name(config.name)
    if known.n_classes:  # of MNIST's form, so the files need not be there
        return MNIST, known.n_classes
    data = load(config)
    return data.about, data.n_classes


def _configuration(
    targets: list[str], assignments: list[str] | None, dataset: str | None
) -> TrainConfig:
    """Return the settings of the file among ``targets``, with the model that is named there."""
    files = [text for text in targets if text.endswith(".toml")]
    names = [text for text in targets if not text.endswith(".toml")]
    for kind, given in (("model", names), ("CONFIG.toml", files)):
        if len(given) > 1:
            raise ConfigError(f"summary takes one {kind}, but got {' '.join(given)}")
    name = names[0] if names else None
    file = Path(files[0]) if files else None
    return options.configuration(file, assignments, model__name=name, data__name=dataset)


def _print(summary: "Summary", *, batch_size: int) -> None:
    console = text_console(120, soft_wrap=False)
    chosen = {key: value for key, value in summary.model.to_dict().items() if key != "name"}
    said = ", ".join(f"{key} {value}" for key, value in chosen.items())
    console.print(f"{summary.model.name}{': ' if said else ''}{said}")
    console.print(_table(summary))
    memory = summary.activation_bytes
    each = {"image": "an image", "pair": "a pair"}[summary.sample]
    console.print(
        f"MFLOP: of the forward pass for {each}, a multiply-add being 2; convolutions and matrix "
        "products only. Training takes about 3 times as many."
    )
    console.print(
        f"Memory in fp32: parameters {_size(4 * summary.parameters)}; kept for the backward pass "
        f"{_size(memory)} {each}, {_size(memory * batch_size)} a batch of {batch_size}. In bf16 "
        "the latter is about half."
    )


def _table(summary: "Summary") -> Table:
    table = Table(box=box.SIMPLE, show_footer=True, padding=(0, 1))
    table.add_column("layer", "total", overflow="fold")
    table.add_column("type", overflow="fold")
    table.add_column("output", justify="right", overflow="fold")
    table.add_column("parameters", f"{summary.parameters:,}", justify="right", no_wrap=True)
    table.add_column("MFLOP", f"{summary.flops / 1e6:,.4f}", justify="right", no_wrap=True)
    for layer in summary.layers:
        table.add_row(
            layer.name,
            layer.kind,
            " × ".join(str(size) for size in layer.shape or (1,)),  # noqa: RUF001
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.flops / 1e6:,.4f}" if layer.flops else "",
        )
    return table


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} GiB"
