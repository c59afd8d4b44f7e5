"""``python -m mnist_core evaluate``: how good a kept model is, class by class.

python -m mnist_core evaluate model.safetensors
python -m mnist_core evaluate model.safetensors --split test
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mnist_core.errors import ConfigError
from mnist_core.table import parse_assignment

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.tasks import Evaluation

SPLITS = ("validation", "test")


def evaluate_command(
    what: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="a .safetensors file")],
    split: Annotated[
        str, typer.Option(help="validation, or test: which is not to choose by")
    ] = "validation",
    dataset: Annotated[
        str | None, typer.Option(help="another data set than it was trained on")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="where the data is now, e.g. data.root=DIR"
        ),
    ] = None,
) -> None:
    """Evaluate a model that was kept by `train --save` or by a study.

    On the validation images the accuracy is the one that its training logged. Whoever chooses
    between models by their test accuracy has no test images any more.

    Examples:
        python -m mnist_core evaluate model.safetensors

        python -m mnist_core evaluate results/optim_search/checkpoints/confirm/0.safetensors --split
        test --dataset mnist
    """
    if split not in SPLITS:
        raise ConfigError(f"--split: must be {' or '.join(SPLITS)}, but got {split!r}")
    changes = dict(parse_assignment(text) for text in assignments or [])
    for key in changes:
        if not key.startswith("data."):
            raise ConfigError(f"--set {key}: the model is trained; only data.* can be changed")
    if dataset is not None:
        changes = {"data.name": dataset, "data.root": "", **changes}
    from mnist_core import checkpoint, judge, runtime
    from mnist_core.data import load, load_test

    kept = checkpoint.load(what)
    config = kept.config.override({**changes, "device": device})
    place = runtime.resolve(config).device
    data = load(config.data, place)
    images = data.validation if split == "validation" else load_test(config.data, place)
    if data.n_classes != kept.n_classes:
        raise ConfigError(
            f"data.name: {what} knows {kept.n_classes} classes, but {data.name!r} has"
            f" {data.n_classes}"
        )
    found = judge.judge(kept, images)
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(
        f"{kept.config.model.name} on the {len(images):,} {split} images of {data.name}, {place}:"
    )
    _print(console, found)
    logged = kept.metrics.get("val_accuracy")
    if logged is not None and split == "validation" and config.data == kept.config.data:
        same = "the same" if logged == found.metrics["accuracy"] else "NOT the same"
        console.print(f"its training logged an accuracy of {logged:.4f}: {same}")


def _print(console: Console, found: "Evaluation") -> None:
    from mnist_core.pair_metrics import PairEvaluation

    console.print(", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items()))
    classes = [str(number) for number in range(len(found.confusion))]
    if isinstance(found, PairEvaluation):
        classes = ["different", "same"]
        low, high = found.interval()
        console.print(f"accuracy between {low:.4f} and {high:.4f} (95 %, bootstrap over images)")
    counts = found.confusion.double()
    right = counts.diagonal()
    recall = right / counts.sum(dim=1).clamp_min(1)
    precision = right / counts.sum(dim=0).clamp_min(1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("true \\ predicted")
    for name in [*classes, "recall", "precision"]:
        table.add_column(name, justify="right")
    for index, name in enumerate(classes):
        cells = [str(int(count)) for count in counts[index]]
        table.add_row(name, *cells, f"{recall[index]:.3f}", f"{precision[index]:.3f}")
    console.print(table)
