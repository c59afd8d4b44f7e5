"""``python -m mnist_core train``: one training with a progress bar.

python -m mnist_core train --model net --set optim.name=adam --set optim.lr=0.003
python -m mnist_core train results/optim_search/best_config.toml
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mnist_core import config_file as config_file_reader
from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from mnist_core.table import parse_assignment

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.data import Data
    from mnist_core.train import TrainResult


def train_command(
    config_file: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="TOML file, e.g. a best_config.toml")
    ] = None,
    model: Annotated[str | None, typer.Option(help="model.name, e.g. net, cnn")] = None,
    dataset: Annotated[str | None, typer.Option(help="data.name, e.g. mnist-10pct")] = None,
    epochs: Annotated[int | None, typer.Option(help="times through the training images")] = None,
    seed: Annotated[int | None, typer.Option(help="weights, order and augmentation")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. optim.lr=0.01"),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="write the trained model here (.safetensors)")
    ] = None,
) -> None:
    """Train one model and print how good it is on the validation images.

    Options win over CONFIG. The test images are not touched.

    Examples:
        python -m mnist_core train --model net --set optim.name=adam --set optim.lr=0.003

        python -m mnist_core train results/optim_search/best_config.toml
    """
    settings, record = config_file_reader.read(config_file) if config_file else ({}, {})
    config = TrainConfig.from_mapping(settings, source=str(config_file))
    options = {
        "model.name": model,
        "data.name": dataset,
        "epochs": epochs,
        "seed": seed,
        "device": device,
    }
    changes = {key: value for key, value in options.items() if value is not None}
    changes |= dict(parse_assignment(text) for text in assignments or [])
    config = config.override(changes)
    if save:
        _check_place(save)
    result, data = _train(config)
    console = _console()
    _print_result(console, result)
    if record:
        console.print(_compare(record, result, data, changed=bool(changes)))
    if save:
        from mnist_core import checkpoint

        checkpoint.save(
            save,
            result.model,
            result.config,
            n_classes=data.n_classes,
            metrics=result.metrics,
        )
        console.print(f"model written to {save}")


def _console() -> Console:
    """Return a console that prints text as it is: a path may hold [brackets] or :colons:."""
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def _check_place(path: Path) -> None:
    """Refuse a place for the model that cannot be written, before the training."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"--save {path}: cannot be written: {error.strerror}") from None
    if path.is_dir():
        raise UserError(
            f"--save {path}: is a folder; name a file, e.g. {path / 'model.safetensors'}"
        )


def _train(config: TrainConfig) -> tuple["TrainResult", "Data"]:
    from mnist_core import train as trainer
    from mnist_core.data import load

    config = trainer.resolve(config)
    data = load(config.data, config.device)
    total = config.epochs * config.reports_per_epoch
    console = _console()
    console.print(
        f"{config.model.name} on {config.data.name} ({len(data.train):,} images), "
        f"{config.optim.name} lr {config.optim.lr:g}, {config.epochs} epochs of batch "
        f"{config.batch_size}, seed {config.seed}; {config.device}, {config.precision}, "
        f"{config.threads} threads"
    )
    columns = (
        TextColumn("epoch {task.fields[epoch]}/" + str(config.epochs)),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=total, epoch="0", said="")

        def report(step: int, metrics: Mapping[str, float]) -> None:
            said = (
                f"train loss {metrics['train_loss']:.4f}  "
                f"validation loss {metrics['val_loss']:.4f}  "
                f"accuracy {metrics['val_accuracy']:.2%}"
            )
            epoch = f"{step / config.reports_per_epoch:g}"
            progress.update(bar, completed=step, epoch=epoch, said=said)
            if not console.is_terminal:
                console.print(f"epoch {epoch}/{config.epochs}  {said}")

        try:
            return trainer.train(config, data, report), data
        except trainer.TrainingFailed as failure:
            raise UserError(f"the training ended: {failure.kind}: {failure}") from None


def _print_result(console: Console, result: "TrainResult") -> None:
    metrics = result.metrics
    if result.stopped_early and result.best:
        console.print(
            f"stopped early after {len(result.history)} reports; the model is that of report"
            f" {result.best.step}, the best"
        )
    # Of classes and of pairs.
    names = {"val_macro_f1": "macro-F1", "val_roc_auc": "ROC-AUC"}
    key = next(key for key in names if key in metrics)
    console.print(
        f"validation accuracy {metrics['val_accuracy']:.4f}, {names[key]} "
        f"{metrics[key]:.4f}, loss {metrics['val_loss']:.4f}; "
        f"{result.n_parameters:,} parameters; {result.seconds:.1f} s "
        f"({result.images / result.train_seconds:,.0f} images/s on {result.device_name})"
    )


def _compare(
    record: Mapping[str, Any], result: "TrainResult", data: "Data", *, changed: bool
) -> str:
    """Say in one sentence whether the recorded validation accuracy came out again."""
    recorded, got = record.get("val_accuracy"), result.metrics["val_accuracy"]
    if recorded is None:
        return "nothing to compare with: the record has no val_accuracy"
    if recorded == got:
        return f"reproduced: the recorded validation accuracy {recorded!r}, exactly"
    import torch

    here = {
        "torch": torch.__version__,
        "device_name": result.device_name,
        "data_fingerprint": data.fingerprint,
    }
    reasons = [
        f"{key} was {record[key]}, is {value}"
        for key, value in here.items()
        if key in record and record[key] != value
    ]
    if changed:
        reasons.insert(0, "settings were changed on the command line")
    why = "; ".join(reasons) or "no difference of data, device or torch explains it"
    return f"not the recorded validation accuracy: {recorded!r}, but now {got!r} ({why})"
