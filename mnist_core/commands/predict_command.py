"""``python -m mnist_core predict``: what a kept model says of pictures, IDX files and data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_core import files
from mnist_core.checkpoints.evaluation_table import print_evaluation
from mnist_core.commands import evaluate_command, options
from mnist_core.console.plain_text import counted, one_line
from mnist_core.console.safe_console import text_console
from mnist_core.errors import ConfigError
from mnist_core.runs import run_lookup, run_record

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    import torch
    from rich.console import Console

    from mnist_core.checkpoints.checkpoint import Checkpoint
    from mnist_core.data import Data, Split
    from mnist_core.evaluation.evaluation import Evaluation
    from mnist_core.prediction.prediction_inputs import Inputs
    from mnist_core.runs.run_lookup import Found


def predict_command(
    what: options.What,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT",
            help="pictures, folders of them, IDX files of images; left out: a data set",
        ),
    ] = None,
    dataset: options.OtherData = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="of a data set: validation, or test (not for choosing a model)",
            show_default="validation",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="write every prediction there")
    ] = None,
    invert: Annotated[
        bool | None,
        typer.Option(
            "--invert/--no-invert",
            help="pictures: the ground is light / dark",
            show_default="seen at the picture",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="pictures: only convert to grey and scale to 28x28")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="draw what the model sees, as text")] = False,
    weights: options.Weights = None,
    runs: options.Runs = run_lookup.RUNS,
    device: options.DeviceNow = "auto",
    assignments: options.PlaceOfData = None,
) -> None:
    """Classify images with a kept model, and print how sure it is.

    A picture (PNG, JPEG …) is first brought to MNIST's form: the background is removed, the digit
    scaled and centred. A picture of 28x28 with an even border is used as it is. A model of your own
    pictures gets them scaled and cut like those it was trained on, and negative with --invert. The
    labels file beside an IDX file of images is found by its name. Folders of pictures named 0, 1, 2
    … are their classes. On the model's own validation images, the accuracy is the one that its
    training logged.

    A model of pairs compares the first image with the second, the third with the fourth, and so on.
    In a data set it compares the fixed pairs.

    A picture that cannot be used is named and left out, and the exit code is then 1.

    Examples:
        python -m mnist_core predict model.safetensors seven.png photos/ --show

        python -m mnist_core predict 20261121-094345-net-d63c0f --out predictions.csv

        python -m mnist_core predict 20261121-094345-net-d63c0f t10k-images-idx3-ubyte.gz
    """
    named = inputs or []
    _check(named, dataset, split, assignments, pictures_only=raw or invert is not None)
    changes = options.data_changes(assignments, dataset)
    if out:
        _check_out(out)
    found = run_lookup.find_model(what, runs=runs, checkpoint=weights)
    from mnist_core.checkpoints import checkpoint, evaluate_checkpoint
    from mnist_core.device import runtime

    kept = checkpoint.load(found.checkpoint)
    console = text_console()
    if not named:
        _of_a_data_set(
            console, found, kept, changes, split or "validation", device, out=out, show=show
        )
        return
    machine = runtime.resolve(evaluate_checkpoint.config_at(kept, device)).device
    from mnist_core.prediction import prediction_inputs

    images = prediction_inputs.gather(
        named, n_classes=kept.n_classes, about=kept.about, invert=invert, raw=raw
    )
    if not images.pictures and (raw or invert is not None):
        raise ConfigError("--raw and --invert are for pictures; IDX images are taken as they are")
    _of_inputs(console, found, kept, images, machine, out=out, show=show)
    for problem in images.problems:
        typer.echo(f"error: {one_line(str(problem))}", err=True)
    if images.problems:
        raise typer.Exit(1)


def _check(
    named: list[Path],
    dataset: str | None,
    split: str | None,
    assignments: list[str] | None,
    *,
    pictures_only: bool,
) -> None:
    """Refuse options that do not go together, and a split that there is not."""
    of_data = {"--dataset": dataset, "--split": split, "--set": assignments}
    chosen = [name for name, value in of_data.items() if value]
    if named and chosen:
        raise ConfigError(f"{chosen[0]}: names a data set, but so does {named[0]}; leave one out")
    if not named and pictures_only:
        raise ConfigError("--raw and --invert are for pictures; name some")
    if split is not None and split not in evaluate_command.SPLITS:
        valid = " or ".join(evaluate_command.SPLITS)
        raise ConfigError(f"--split: must be {valid}, but got {split!r}")


def _check_out(out: Path) -> None:
    """Refuse a path that cannot be written, or whose device or pipe a file would replace."""
    try:
        special = out.exists() and not out.is_file() and not out.is_dir()
    except (OSError, ValueError) as error:  # no possible name: too long, a NUL
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--out {out}: cannot be written: {reason}") from None
    if special:
        raise ConfigError(f"--out {out}: is a device or a pipe; name a file")
    files.check_file(out, "--out", "predictions.csv")


def _of_a_data_set(
    console: "Console",
    found: "Found",
    kept: "Checkpoint",
    changes: dict[str, Any],
    split: str,
    device: str,
    *,
    out: Path | None,
    show: bool,
) -> None:
    from mnist_core.checkpoints import evaluate_checkpoint
    from mnist_core.prediction import predict, prediction_tables
    from mnist_core.tasks.pair_metrics import PairEvaluation

    table: Any = None
    pixels: Any = None

    def judge(data: "Data", images: "Split") -> "Evaluation":
        nonlocal table, pixels
        names, places = [f"{data.name} {split}"] * len(images), list(range(len(images)))
        labels = images.labels.tolist()
        pixels = images.images.cpu().numpy()
        if not predict.compares_pairs(kept):
            classes = predict.classify(kept, images.images)
            table = prediction_tables.of_classes(
                classes, names, places, labels, class_names=kept.about.class_names
            )
            return predict.evaluation(classes, images.labels.cpu())
        threshold = predict.threshold(kept)
        found = evaluate_checkpoint.judge(kept, images)
        evaluate_checkpoint.check_finite(kept, found.metrics["loss"])
        assert isinstance(found, PairEvaluation)
        pairs = predict.Pairs(found.pairs, found.scores, threshold)
        table = prediction_tables.of_pairs(pairs, names, places, labels)
        return found

    evaluation, lines = evaluate_command.judge_data_set(
        "predict", console.print, found, kept, changes, split, device, judge
    )
    prediction_tables.show(console.print, table, pixels if show else None)
    print_evaluation(console.print, evaluation, kept.about.class_names)
    for line in lines:
        console.print(line)
    _write(console, table, out)


def _of_inputs(
    console: "Console",
    found: "Found",
    kept: "Checkpoint",
    images: "Inputs",
    machine: "torch.device",
    *,
    out: Path | None,
    show: bool,
) -> None:
    import numpy as np
    import torch

    from mnist_core.checkpoints import reading_record
    from mnist_core.data.image_arrays import test_images_sha256
    from mnist_core.prediction import predict, prediction_tables
    from mnist_core.prediction.prediction_inputs import UNKNOWN

    pixels = np.stack(images.images)
    placed = torch.from_numpy(pixels).to(machine)
    predict.check_size(kept, placed, images.names[0])
    said = [f"{found.checkpoint}:", *images.remarks]
    labels = torch.tensor(images.labels)
    known = labels != UNKNOWN
    name, noted = kept.config.data.name, list[str]()
    own = bool(known.any()) and test_images_sha256(kept.config.data) in images.sha256.values()
    if own:
        noted.append(_TEST_IMAGES.format(name))
        noted.append(evaluate_command.record_in_study("predict", found, kept, name))
    evaluation: Evaluation | None = None
    if predict.compares_pairs(kept):
        pairs = predict.compare_pairs(kept, placed)
        table = prediction_tables.of_pairs(pairs, images.names, images.indices, images.labels)
    else:
        classes = predict.classify(kept, placed)
        table = prediction_tables.of_classes(
            classes,
            images.names,
            images.indices,
            images.labels,
            images.notes,
            kept.about.class_names,
        )
        told = predict.Classes(
            classes.logits[known], classes.predicted[known], classes.probabilities[known]
        )
        evaluation = predict.evaluation(told, labels[known]) if known.any() else None
    if own and evaluation and found.run is not None:
        fingerprint = run_record.read(found.run).get("data", {}).get("fingerprint", "")
        reading = reading_record.describe(
            "predict", found.name, kept, name, fingerprint, str(machine), evaluation
        )
        noted.append(evaluate_command.record_in_run(found, reading))
    console.print("\n".join(said))
    prediction_tables.show(console.print, table, pixels if show else None)
    if evaluation:
        if not known.all():
            console.print(f"of the {counted(int(known.sum()), 'image')} whose class is known:")
        print_evaluation(console.print, evaluation, kept.about.class_names)
    elif table.accuracy is not None:
        console.print(f"accuracy {table.accuracy:.4f} of {counted(table.known, 'pair')}")
    for line in filter(None, noted):
        console.print(line)
    _write(console, table, out)


_TEST_IMAGES = "these are the test images of {}; a model chosen by them has no test set left"


def _write(console: "Console", table: Any, out: Path | None) -> None:
    if out:
        files.write_atomically(out, table.csv())
        console.print(f"{counted(len(table.rows), 'prediction')} written to {out}")
