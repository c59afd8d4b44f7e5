"""``python -m mnist_core export``: a trained model as ONNX or for ``torch.export.load``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_core.commands import evaluate_command, options
from mnist_core.console.plain_text import counted
from mnist_core.runs import run_lookup

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.checkpoints.export import Parity


def export_command(
    what: options.What,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="onnx or torch; left out: by the ending of --out, else onnx"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the file; left out: beside the checkpoint")
    ] = None,
    weights: options.Weights = None,
    runs: options.Runs = run_lookup.RUNS,
    assignments: options.PlaceOfData = None,
) -> None:
    """Export a trained model and prove that the file computes the same.

    The file takes float32 images from 0 (ground) to 1 (ink), [batch, 1, 28, 28], any number at a
    time; pairs are [batch, 2, 28, 28]. They are normalised inside. It computes in fp32. Classes,
    data, configuration and versions are in its metadata.

    Before it is moved in place, it is compared with the trained model on all test images, or on the
    validation images where there is no test set. The comparison selects nothing, but a reading of
    the test set is recorded.

    Examples:
        python -m mnist_core export 20261121-094345-net-d63c0f --checkpoint best

        python -m mnist_core export model.safetensors --format torch --out digits.pt2
    """
    changes = options.data_changes(assignments, None)
    model = run_lookup.find_model(what, runs=runs, checkpoint=weights)
    found = model.checkpoint
    from mnist_core import models
    from mnist_core.checkpoints import checkpoint, export, export_formats
    from mnist_core.data import load, load_test

    suffixes = {form.suffix: name for name, form in export_formats.FORMATS.items()}
    if file_format is None:
        file_format = suffixes.get(out.suffix, "onnx") if out else "onnx"
    if out is None and file_format in export_formats.FORMATS:
        out = found.with_suffix(export_formats.FORMATS[file_format].suffix)
    out = out or found
    export.check(file_format, out)
    kept = checkpoint.load(found)
    place = kept.config.override(changes).data
    data = load(place)
    test, split, recorded = data.validation, "validation", ""
    if not data.test_problem:
        test, split = load_test(place), "test"
        recorded = evaluate_command.record_in_study("export", model, kept, data.name)
        reading = {"by": "export", "checkpoint": model.name, "data": data.name}
        evaluate_command.record_in_run(model, {**reading, "fingerprint": data.fingerprint})
    parity = export.export(kept, out, file_format=file_format, data=data, test=test)
    pairs = models.task(kept.config.model) == "pairs"
    shape = ", ".join(map(str, models.input_shape(kept.config.model, kept.about)))
    scale = "0 to 1, RGB" if kept.about.colour else "0 (ground) to 1 (ink)"
    size = out.stat().st_size / 1e6
    typer.echo(f"{kept.config.model.name} written to {out} ({size:.1f} MB, {file_format}, fp32)")
    typer.echo(f"takes float32 [batch, {shape}], {scale}; normalised inside")
    samples = f"pairs of {split} images" if pairs else f"{split} images"
    typer.echo(_say(parity, data.name, samples))
    if data.test_problem:
        typer.echo(f"not on test images: {data.test_problem}")
    if recorded:
        typer.echo(recorded)


def _say(parity: "Parity", name: str, samples: str) -> str:
    return (
        f"parity with the trained model in fp32 on {parity.samples:,} {samples} of {name}:"
        f" logits differ by at most {parity.greatest:.2g} (allowed {parity.allowed:.1g}),"
        f" {counted(parity.different, 'prediction')}"
        f" {'differs' if parity.different == 1 else 'differ'}; accuracy"
        f" {parity.trained_accuracy:.2%} trained,"
        f" {parity.exported_accuracy:.2%} exported (a check of the file, not a result to choose by)"
    )
