"""``python -m mnist_core compare``: two trained models side by side, and whether they are equal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from mnist_core.commands import options
from mnist_core.commands.options import Runs, Weights
from mnist_core.console.safe_console import text_console
from mnist_core.errors import ConfigError
from mnist_core.runs import run_lookup

if TYPE_CHECKING:
    from mnist_core.comparison.compare import Curves, Difference
    from mnist_core.comparison.compare_noise import Noise
    from mnist_core.comparison.compare_verdict import Measured
    from mnist_core.comparison.model_record import ModelRecord

_PAIRS = "val_roc_auc"  # the metric that all models of pairs have, and no classifier

_COST = {
    "seconds": ("seconds", 1.0),
    "train_seconds": ("seconds without validation", 1.0),
    "images_per_second": ("images a second", 1.0),
    "peak_memory": ("peak memory, MB", 1e-6),
    "n_parameters": ("parameters", 1.0),
}


def compare_command(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="a run's id or folder, a checkpoint, a best_config.toml"),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="the same, to compare with it")],
    tolerance: Annotated[float | None, options.tolerance_option("what noise makes")] = None,
    weights: Weights = None,
    runs: Runs = run_lookup.RUNS,
) -> None:
    """Compare two trained models by what their training recorded; nothing is computed again.

    You see the settings, data, devices and versions that differ, the figures side by side, and the
    first report in which the trainings differ. The last line is the verdict: identical (to the last
    bit), equal (within --tolerance), no difference shown (within the noise), or different.

    The noise is the spread over seeds, if the runs' folder holds enough other runs of the same
    configurations: three of one, or two of each. Otherwise it is the standard error of the
    accuracy on that number of validation images. In one case of twenty, two equal models differ by
    more.

    Exit code: 0 for the first three verdicts, otherwise 1. A mistake is one line that begins with
    "error:", and its exit code is also 1.

    Examples:
        python -m mnist_core compare cpu/20261121-094345-net-d63c0f cuda/20261121-101201-net-b41d2a

        python -m mnist_core compare before after --tolerance 0.3
    """
    from mnist_core.comparison import compare, compare_noise, compare_verdict, model_record

    first, second = (model_record.find(what, runs=runs, checkpoint=weights) for what in (a, b))
    _refuse(first, second)
    console = text_console()
    for letter, record in (("A", first), ("B", second)):
        console.print(f"{letter}  {_describe(record)}")
    console.print(_differences(compare.differences(first, second)))
    reports = compare.curves(first, second)
    bits = compare.same_weights(first, second)
    noise = compare_noise.find_noise(first, second, runs)
    readings = compare.readings_of_both(first, second)
    measured = compare_verdict.measure(first, second, noise, readings)
    console.print(_figures(first, second, measured))
    console.print(f"reports: {_say_curves(reports)}")
    console.print(f"weights: {_say_weights(bits)}")
    console.print(f"noise: {_say_noise(noise)}")
    verdict = compare_verdict.judge(
        first, second, measured, curves=reports, weights=bits, tolerance=tolerance
    )
    console.print(f"verdict: {verdict.sentence}")
    if not verdict.equal:
        raise typer.Exit(1)


def _refuse(a: "ModelRecord", b: "ModelRecord") -> None:
    places = [record.checkpoint or record.run for record in (a, b)]
    if None not in places and places[0].resolve() == places[1].resolve():  # type: ignore[union-attr]
        raise ConfigError(f"A and B are the same model, {places[0]}; name two")
    of_pairs = [_PAIRS in record.metrics for record in (a, b)]
    if of_pairs[0] != of_pairs[1]:
        raise ConfigError(
            f"{'A' if of_pairs[0] else 'B'} compares pairs of images and the other classifies them:"
            " their accuracies are of two tasks and cannot be compared"
        )


def _describe(record: "ModelRecord") -> str:
    config = record.config
    place = f"{config.device}, {config.precision}"
    if "device_name" in record.machine:
        place = f"{config.device} ({record.machine['device_name']}), {config.precision}"
    torch = f", torch {record.versions['torch']}" if "torch" in record.versions else ""
    where = record.run or record.checkpoint or Path(record.name)
    return f"{where}: {config.model.name} on {config.data.name}, seed {config.seed}; {place}{torch}"


def _differences(found: "list[Difference]") -> Table | str:
    if not found:
        return "nothing that is recorded of settings, data, device and versions differs"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("differs", "", "A", "B"):
        table.add_column(name, overflow="fold")
    before = ""
    for one in found:
        kind, before = ("" if one.kind == before else one.kind), one.kind
        table.add_row(kind, one.name, _value(one.a), _value(one.b))
    return table


def _value(value: Any) -> str:
    return "-" if value is None else str(value)


def _figures(a: "ModelRecord", b: "ModelRecord", measured: "list[Measured]") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("A", "B", "B - A"):
        table.add_column(name, justify="right")
    for name in (name for name in a.metrics if name in b.metrics):
        x, y = a.metrics[name], b.metrics[name]
        table.add_row(name, f"{x:.6g}", f"{y:.6g}", f"{y - x:+.3g}")
    for one in measured[1:]:
        table.add_row(one.name, f"{one.a:.6g}", f"{one.b:.6g}", f"{one.b - one.a:+.3g}")
    for name, (title, unit) in _COST.items():
        if name in a.cost and name in b.cost:
            x, y = a.cost[name] * unit, b.cost[name] * unit
            ratio = f"{y / x:.3g} times" if x and y != x else "same"
            table.add_row(f"{title} (not judged)", f"{x:,.6g}", f"{y:,.6g}", ratio)
    return table


def _say_curves(found: "Curves | None") -> str:
    if found is None:
        return "of one of them none are recorded"
    a, b = found.reports
    counts = f"{a} each" if a == b else f"{a} of A, {b} of B"
    if not found.common:
        return f"{counts}, none at the same epoch"
    if found.parting is not None:
        x = found.parting
        return (
            f"{counts}; they part at epoch {x.epoch:g}: {x.metric} {x.a!r} and {x.b!r}"
            f" ({x.b - x.a:+.2g})"
        )
    shared = "all" if found.identical else f"the {found.common} of the same epochs"
    return f"{counts}; {shared} are identical to the last bit"


def _say_weights(same: bool | None) -> str:
    if same is None:
        return "a checkpoint is missing"
    return "identical to the last bit" if same else "not the same"


def _say_noise(found: "Noise | None") -> str:
    if found is None:
        return "not known: neither other seeds nor the number of validation images is recorded"
    return f"up to {100 * found.allowed:.3f} points in 19 cases of 20; {found.method}"
