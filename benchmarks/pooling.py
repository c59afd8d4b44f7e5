"""Pooling and batch norm by machine code of our own against torch's: layers, and whole trainings.

    python benchmarks/pooling.py                             # layers only: half a minute
    python benchmarks/pooling.py --models net cnn --record   # and trainings: some 10 minutes

Both sides are this project's trainer; ``MNIST_STUDIES_KERNELS=torch`` is all that differs. In the
first table the two take turns in one process: forward and backward pass of the pooling and the ReLU
behind it, for "norm" with a batch norm before them, on the maps of some models; medians,
milliseconds. In the second each training is a fresh process, and the two take turns; validation is
not counted in images/s. Losses must be equal to the last bit: the program ends with an error if one
is not.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import measure

LAYERS = {
    "net, 1st": (64, 32, 24, 24),
    "net, 2nd": (64, 64, 10, 10),
    "cnn": (64, 64, 24, 24),
    "siamese, 1st": (512, 32, 28, 28),
    "siamese, 1st, norm": (512, 32, 28, 28),
    "siamese, 2nd, norm": (512, 64, 14, 14),
    "siamese, 3rd, norm without pooling": (512, 128, 7, 7),
    "flex_cnn, 1st, norm": (64, 32, 28, 28),
    "flex_cnn, 2nd, norm": (64, 48, 14, 14),
}
"""Maps before the pooling: images, channels, rows, columns."""

PRECISIONS = ("bf16", "fp32")
WARM_UP = 5
VARIABLE = "MNIST_STUDIES_KERNELS"


def main() -> None:
    """Measure and print; with --record append to RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=[], help="trainings to measure: net cnn …")
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=60, help="passes of each layer and side")
    parser.add_argument("--repeats", type=int, default=7, help="trainings of each side")
    parser.add_argument("--images", type=int, default=20_000, help="of a training")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    parts = [layers(args.threads, args.rounds)]
    if args.models:
        parts.append(trainings(args.models, args.threads, args.repeats, args.images))
    text = "\n\n".join([measure.environment(measure.cpu_name()), *parts])
    print(text)
    if args.record:
        measure.record("max pooling and batch norm, torch's and ours", text)


def layers(threads: list[int], rounds: int) -> str:
    """Return the table of the layers."""
    import torch

    from mnist_core.device.runtime import keep_freed_memory

    keep_freed_memory()
    rows = []
    before = torch.get_num_threads()
    for count in threads:
        torch.set_num_threads(count)
        for precision in PRECISIONS:
            for name, shape in LAYERS.items():
                rows.append(
                    [
                        f"{name}, {precision}, {count} threads",
                        *_layer(name, shape, precision, rounds),
                    ]
                )
    torch.set_num_threads(before)
    header = ["forward + backward, ms", "torch", "ours", "x", "min..max"]
    return measure.table(header, rows)


def _layer(name: str, shape: tuple[int, ...], precision: str, rounds: int) -> list[str]:
    import torch
    from torch import nn

    from mnist_core.models._fused import FusedSequential

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    maps = torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)
    maps.requires_grad_()
    model = FusedSequential(
        *([nn.BatchNorm2d(shape[1])] if "norm" in name else []),
        *([] if "without pooling" in name else [nn.MaxPool2d(2)]),
        nn.ReLU(),
    )
    gradient = torch.randn_like(model(maps))

    def milliseconds(fused: bool) -> tuple[float, Any]:
        model.fused, maps.grad = fused, None
        start = time.perf_counter()
        model(maps).backward(gradient)
        return 1e3 * (time.perf_counter() - start), maps.grad

    found = []
    for number in range(rounds + WARM_UP):
        (theirs, expected), (ours, came) = milliseconds(False), milliseconds(True)
        if not torch.equal(expected, came):
            sys.exit(f"error: the gradients differ: {shape}, {precision}")
        if number >= WARM_UP:
            found.append((theirs, ours))
    theirs, ours = (measure.Spread(values) for values in zip(*found, strict=True))
    ratios = measure.Spread(tuple(a / b for a, b in found))
    return [f"{theirs.median:.2f}", f"{ours.median:.2f}", f"{ratios.median:.2f}", ratios.range(2)]


def trainings(models: list[str], threads: list[int], repeats: int, images: int) -> str:
    """Return the table of the trainings."""
    rows, verdicts = [], []
    for model in models:
        for count in threads:
            sides = {side: _training(model, count, side, images) for side in ("torch", "auto")}
            results = measure.interleave(sides, repeats, say=measure.say)
            theirs, ours = results["torch"], results["auto"]
            if [one["loss"] for one in theirs] != [one["loss"] for one in ours]:
                sys.exit(f"error: {model}: the losses differ")
            speeds = [
                measure.Spread(tuple(one["images"] / one["train_seconds"] for one in side))
                for side in (theirs, ours)
            ]
            pairs = zip(speeds[1].values, speeds[0].values, strict=True)
            ratios = measure.Spread(tuple(a / b for a, b in pairs))
            others = max(one["others"] for one in theirs + ours)
            rows.append(
                [
                    f"{model}, {count} threads",
                    *(f"{speed.median:,.0f}" for speed in speeds),
                    f"{ratios.median:.2f}",
                    ratios.range(2),
                    f"{100 * others:.0f} %",
                ]
            )
            verdicts.append(f"- {model}, {count} threads: losses equal to the last bit")
    header = ["training, images/s", "torch", "ours", "x", "min..max", "others"]
    return "\n\n".join([measure.table(header, rows), "\n".join(verdicts)])


def _training(model: str, threads: int, side: str, images: int) -> Callable[[int], dict[str, Any]]:
    batch = 256 if model.startswith("siamese") else 64

    def run(repeat: int) -> dict[str, Any]:
        options = {"model": model, "threads": threads, "seed": repeat, "batch-size": batch}
        options |= {"epochs": max(1, images // 5000), "limit": min(images, 5000)}
        with _environment(side):
            return measure.run_undisturbed(
                "ours/train_once.py",
                [text for name, value in options.items() for text in (f"--{name}", value)],
            )

    return run


@contextmanager
def _environment(side: str) -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = side
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


if __name__ == "__main__":
    main()
