"""``python -m mnist_core evaluate``: how good a kept model is, class by class."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_core import files
from mnist_core.checkpoints import study_readings
from mnist_core.checkpoints.evaluation_table import (
    MOST_CLASSES,
    Say,
    confusion_csv,
    print_evaluation,
)
from mnist_core.commands import options
from mnist_core.console.plain_text import counted
from mnist_core.console.safe_console import text_console
from mnist_core.errors import ConfigError, UserError
from mnist_core.runs import run_lookup, run_record
from mnist_core.runs.run_lookup import Found

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.checkpoints.checkpoint import Checkpoint
    from mnist_core.config import DataConfig
    from mnist_core.data import Data, Split
    from mnist_core.evaluation.evaluation import Evaluation

SPLITS = ("validation", "test")


def evaluate_command(
    what: options.What,
    split: Annotated[
        str, typer.Option(help="validation, or test (not for choosing a model)")
    ] = "validation",
    dataset: options.OtherData = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="write the confusion matrix there")
    ] = None,
    weights: options.Weights = None,
    runs: options.Runs = run_lookup.RUNS,
    device: options.DeviceNow = "auto",
    assignments: options.PlaceOfData = None,
) -> None:
    """Evaluate a model that was kept by `train` or by a study.

    On the images and the kind of device of its training the accuracy is the one that was logged.
    On another split or data set, you read how many of its images the model was trained on. A run's
    model is the one at its end, or with --checkpoint best the one at its best report.

    A choice between models by their test accuracy uses the test images up. Each reading
    is recorded: of a run's model in its run.json, of a study's in the study, which counts it.

    Examples:
        python -m mnist_core evaluate 20261121-094345-net-d63c0f --checkpoint best

        python -m mnist_core evaluate results/optim_search/best_config.toml --split test
    """
    if split not in SPLITS:
        raise ConfigError(f"--split: must be {' or '.join(SPLITS)}, but got {split!r}")
    changes = options.data_changes(assignments, dataset)
    if confusion:
        files.check_file(confusion, "--confusion", "confusion.csv")
    found = run_lookup.find_model(what, runs=runs, checkpoint=weights)
    from mnist_core.checkpoints import checkpoint, evaluate_checkpoint

    def judge(_: "Data", images: "Split") -> "Evaluation":
        evaluation = evaluate_checkpoint.judge(kept, images)
        evaluate_checkpoint.check_finite(kept, evaluation.metrics["loss"])
        return evaluation

    kept = checkpoint.load(found.checkpoint)
    console = text_console()
    evaluation, lines = judge_data_set(
        "evaluate", console.print, found, kept, changes, split, device, judge
    )
    names = kept.about.class_names
    print_evaluation(console.print, evaluation, names)
    if confusion:
        files.write_atomically(confusion, confusion_csv(evaluation, names))
        console.print(f"confusion matrix written to {confusion}")
    elif len(evaluation.confusion) > MOST_CLASSES:
        console.print("the whole confusion matrix: --confusion FILE.csv")
    for line in lines:
        console.print(line)


def judge_data_set(
    by: str,
    say: Say,
    found: Found,
    kept: "Checkpoint",
    changes: Mapping[str, Any],
    split: str,
    device: str,
    judge: "Callable[[Data, Split], Evaluation]",
) -> "tuple[Evaluation, list[str]]":
    """Judge a model on a split of a data set, and record a reading of test images.

    ``by`` is the command, ``changes`` are of the settings of the data. Returns the evaluation,
    which is not printed yet, and the lines that come after it.

    Raises:
        UserError: if the data does not fit the model, or the reading cannot be recorded.
    """
    from mnist_core.checkpoints import evaluate_checkpoint, overlap, reading_record
    from mnist_core.data import load, load_test
    from mnist_core.device import runtime
    from mnist_core.prediction import predict

    place = kept.config.override(changes).data
    machine = runtime.resolve(evaluate_checkpoint.config_at(kept, device)).device
    data = load(place, machine)
    images = data.validation if split == "validation" else load_test(place, machine)
    _check_classes(kept, data, str(found.checkpoint))
    predict.check_size(kept, images.images, f"data set {data.name}")
    lines = []
    if split == "test":
        lines.append(record_in_study(by, found, kept, data.name))
    evaluation = judge(data, images)
    if split == "test":
        reading = reading_record.describe(
            by, found.name, kept, data.name, data.fingerprint, str(machine), evaluation
        )
        lines.append(record_in_run(found, reading))
    else:
        lines.append(_compare_with_log(kept, place, str(machine), evaluation.metrics["accuracy"]))
    say(f"{found.checkpoint}:")
    say(
        f"{kept.config.model.name} on the {counted(len(images), f'{split} image')} of"
        f" {data.name}, {machine}"
    )
    if warning := overlap.warn(kept.config.data, place, images.images):
        say(warning)
    return evaluation, [line for line in lines if line]


def _check_classes(kept: "Checkpoint", data: "Data", name: str) -> None:
    if data.n_classes != kept.n_classes:
        raise ConfigError(
            f"data.name: {name} knows {counted(kept.n_classes, 'class', 'classes')}, but"
            f" {data.name!r} has {data.n_classes}"
        )


def _compare_with_log(kept: "Checkpoint", place: "DataConfig", device: str, accuracy: float) -> str:
    """Say whether ``accuracy`` is the one that the training logged; "" on other images."""
    logged = kept.metrics.get("val_accuracy")
    own, here = (
        config.model_dump(exclude={"root", "test_set"}) for config in (kept.config.data, place)
    )
    if logged is None or own != here:
        return ""
    verdict, before = "the same", kept.config.device
    if logged != accuracy:
        elsewhere = before.partition(":")[0] != device.partition(":")[0]
        why = f" (it was trained on {before}, which rounds otherwise)" if elsewhere else ""
        verdict = f"NOT the same{why}"
    return f"its training logged an accuracy of {logged:.4f}: {verdict}"


def record_in_study(by: str, found: Found, kept: "Checkpoint", data: str) -> str:
    """Record, in the study that keeps the model, that it is about to be judged on test images.

    Returns a line that says so; see ``study_readings.record``.
    """
    return study_readings.record(
        found.checkpoint,
        by=by,
        trained_on=kept.config.data.name,
        data=data,
        confirm_trial=kept.confirm_trial,
    )


def record_in_run(found: Found, reading: Mapping[str, Any]) -> str:
    """Record a reading in the run that the model belongs to, before anything of it is printed.

    Returns a line that says how often the model was judged on these test images before, and with
    what result; "" if it was not, or belongs to no run.

    Raises:
        UserError: if the run's record is damaged, or cannot be written.
    """
    if found.run is None:
        return ""
    reading_record = run_record.read(found.run).get("test_readings", [])
    try:
        before = [one for one in reading_record if _is_of(one, reading)]
        accuracies = [_accuracy(one) for one in before if one.get("by") != run_record.EXPORT]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{found.run / run_lookup.RUN}: is damaged: {error!r}") from None
    run_record.add_test_reading(found.run, reading)
    if not before:
        return ""
    said = f"read {'once' if len(before) == 1 else f'{len(before)} times'} before"
    if not accuracies or "metrics" not in reading:
        return said
    same = "the same" if accuracies[0] == _accuracy(reading) else "NOT the same"
    return f"{said}; the first time an accuracy of {accuracies[0]:.4f} was logged: {same}"


def _is_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("checkpoint", "fingerprint"))


def _accuracy(reading: Mapping[str, Any]) -> float:
    return float(reading["metrics"]["accuracy"])
