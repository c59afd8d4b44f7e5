"""Tables and figures of the parts of ``benchmarks/gpu.py``, from the rows of their programs."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import measure
from measure import Result

from on_gpu import recipes


@dataclass(frozen=True)
class Measured:
    """What a part came to.

    Attributes:
        text: its tables, Markdown.
        figures: by name, for the targets.
    """

    text: str
    figures: dict[str, float] = field(default_factory=dict)


def floors_of(work: Result, floors: Result, precision: str) -> dict[str, float]:
    """Return the least seconds of a step by ``launch``, ``bytes`` and ``FLOP``."""
    launch = floors["launch"]
    return {
        "launch": (work["kernels"] or work["operations"]) * launch.get("graph", launch["eager"]),
        "bytes": work["bytes"] / floors["bandwidth"],
        "FLOP": work["flops"] / floors["peak"][precision],
    }


def trainer(floors: Result, rows: Sequence[Result]) -> Measured:
    """Return the table of steps against their floors."""
    works = {(row["model"], row["precision"]): row["work"] for row in rows if "work" in row}
    forms = [row for row in rows if "work" not in row]
    steps = {(row["model"], row["precision"], row["graph"]): row for row in forms if "step" in row}
    figures: dict[str, float] = {}
    apart = []
    cells = []
    for row in forms:
        key = (row["model"], row["precision"])
        name = [row["model"], row["precision"], "on" if row["graph"] else "off"]
        if "step" not in row:
            cells.append([*name, "refused" if "refused" in row else "FAILED", *[""] * 8])
            continue
        eager = steps.get((*key, False))
        least = floors_of(works[key], floors, row["precision"])
        over = row["step"] / max(least.values())
        faster = eager["step"] / row["step"] if eager else 1.0
        if row["graph"] and row["precision"] == "bf16":
            figures |= {f"{row['model']}.graph": faster, f"{row['model']}.floor": over}
        if row["graph"] and eager:
            apart.append(100 * abs(row["loss"] / eager["loss"] - 1))
        cells.append(
            [
                *name,
                f"{row['images'] / row['step']:,.0f}",
                f"{1e3 * row['step']:.3f}",
                f"{1e3 * row['host']:.3f}",
                *(f"{1e3 * least[kind]:.3f}" for kind in ("launch", "bytes", "FLOP")),
                f"{over:.1f}",
                f"{faster:.2f}",
                f"{row['loss']:.4f}",
            ]
        )
    if apart:
        figures["loss"] = max(apart)
    header = ["model", "precision", "graph", "images/s", "ms a step", "host ms"]
    header += ["launch", "bytes", "FLOP", "x floor", "x no graph", "loss"]
    text = [
        _floors_table(floors),
        measure.table(header, cells),
        *sorted({f"- refused: {row['refused']}" for row in forms if "refused" in row}),
        _works_table(works),
        _HOW_TO_READ,
    ]
    return Measured("\n\n".join(text), figures)


_HOW_TO_READ = (
    "`launch`, `bytes`, `FLOP`: the least ms of a step if every kernel took as long as one that "
    "does nothing, if its operations moved their bytes as fast as a copy, if its products ran at "
    "the peak. `x floor`: a step over the highest of the three. Bytes that the device's cache "
    "keeps are counted, so a step can be below `bytes`. `host ms`: until the host has started a "
    "step; where it equals `ms a step`, the device waits for the host. `loss`: of the first epoch."
)


def _floors_table(floors: Result) -> str:
    launch = floors["launch"]
    rows = [[f"a kernel, {kind}", f"{1e6 * launch[kind]:.2f} us"] for kind in launch]
    rows += [["bandwidth, read and written", f"{floors['bandwidth'] / 1e9:,.0f} GB/s"]]
    peaks = floors["peak"]
    rows += [[f"peak {kind}", f"{peaks[kind] / 1e12:,.2f} TFLOP/s"] for kind in peaks]
    return measure.table(["floor", "measured"], rows)


def _works_table(works: dict[tuple[str, str], Result]) -> str:
    rows = [
        [
            *key,
            str(work["operations"]),
            str(work["kernels"] or ""),
            f"{work['bytes'] / 1e6:,.1f}",
            f"{work['flops'] / 1e6:,.0f}",
        ]
        for key, work in works.items()
    ]
    header = ["model", "a step of", "operations", "kernels", "MB", "MFLOP"]
    return measure.table(header, rows)


def accuracy(rows: Sequence[Result]) -> Measured:
    """Return the table of the time to an accuracy."""
    by_form: dict[bool, list[Result]] = defaultdict(list)
    for row in rows:
        if "accuracy" in row:
            by_form[row["graph"]].append(row)
    cells: list[list[str]] = []
    fastest: dict[str, float] = {}
    for graph, found in sorted(by_form.items()):
        accuracies = [100 * row["accuracy"] for row in found]
        seconds = [row["train_seconds"] for row in found]
        figures = {"accuracy": statistics.fmean(accuracies), "seconds": statistics.median(seconds)}
        if not fastest or figures["seconds"] < fastest["seconds"]:
            fastest = figures
        cells.append(
            [
                f"graph {'on' if graph else 'off'}, {found[0]['precision']}, {found[0]['data']}",
                str(len(found)),
                f"{figures['accuracy']:.2f}",
                f"{min(accuracies):.2f}..{max(accuracies):.2f}",
                f"{figures['seconds']:.3f}",
                f"{min(seconds):.3f}..{max(seconds):.3f}",
                f"{found[0]['images'] / figures['seconds']:,.0f}",
            ]
        )
    header = ["", "seeds", "mean accuracy %", "min..max", "median s", "min..max", "images/s"]
    about, _ = recipes.config(recipes.FAST99)
    text = f"{about}. Validation images; seconds of training, validations left out."
    whole = all(row["data"] == "mnist" for found in by_form.values() for row in found)
    if not whole:  # the targets are of all images
        fastest = {}
        text += " MNIST is not here (MNIST_ROOT names its folder), so a tenth of it was taken."
    return Measured("\n\n".join([text, measure.table(header, cells)]), fastest)


def steady(run: Result) -> dict[str, float]:
    """Return trials/hour while all workers were at work, and the seconds of that time.

    A trial that began before that time, or ended after it, counts by its part within.
    """
    by_worker: dict[int, list[Any]] = defaultdict(list)
    for trial in run["trials"]:
        if "begin" in trial:
            by_worker[trial["pid"]].append(trial)
    if not by_worker:
        return {"workers": 0, "seconds": 0.0, "rate": 0.0}
    begin = max(min(trial["begin"] for trial in trials) for trials in by_worker.values())
    end = min(max(trial["end"] for trial in trials) for trials in by_worker.values())
    within = sum(
        max(0.0, min(end, trial["end"]) - max(begin, trial["begin"]))
        / (trial["end"] - trial["begin"])
        for trials in by_worker.values()
        for trial in trials
    )
    seconds = max(0.0, end - begin)
    rate = 3600 * within / seconds if seconds else 0.0
    return {"workers": len(by_worker), "seconds": seconds, "rate": rate}


def workers(runs: Sequence[Result]) -> Measured:
    """Return the table of workers that share the device."""
    cells, rates = [], {}
    for run in runs:
        name, count = run["workers"], len(run.get("trials", []))
        if run["trouble"] or not count:
            cells.append([str(name), "", "", "", "", run["trouble"] or "no trial"])
            continue
        found = steady(run)
        if found["rate"]:
            rates[name] = found["rate"]
        times = [trial["end"] - trial["begin"] for trial in run["trials"] if "begin" in trial]
        complete = sum(trial["state"] == "COMPLETE" for trial in run["trials"])
        cells.append(
            [
                str(name),
                f"{found['rate']:,.0f}",
                f"{found['seconds']:.1f}",
                f"{statistics.median(times):.2f}" if times else "",
                f"{run['seconds']:.1f}",
                f"{complete} of {count} complete, {found['workers']} workers had trials",
            ]
        )
    figures = {"ratio": max(rates.values()) / rates[1]} if 1 in rates else {}
    header = ["workers", "trials/hour", "all at work s", "median trial s", "whole run s", ""]
    return Measured(measure.table(header, cells), figures)
