"""Own images: how long a training takes to its first step, first and second start.

    python benchmarks/own_images.py                       # 60,000 PNG files and 50,000 of an .npz
    python benchmarks/own_images.py --record
    python benchmarks/own_images.py --png 6000 --npz 5000 --repeats 1     # a first look

It writes noise in colour into a temporary folder: PNG files of 28 x 28 in five folders, and one
``.npz`` of 32 x 32. Then it starts ``mnist-core train --dataset PATH --model flex_cnn`` in fresh
processes, which end after the first step. The first start decodes the images into a cache of its
own; a second start finds them there. ``wall`` runs from before the process until after the step,
imports included; ``CPU`` are the processor's seconds of the process; ``memory`` is the most that
was resident. The files were written just before, so the system has them in memory.

About three minutes on two quiet cores, most of it writing the files and the first starts.
"""

import argparse
import os
import tempfile
from pathlib import Path

import measure
import numpy as np
from PIL import Image

TARGET = 3.0
"""Seconds until the first step of a second start."""

PNG_SIDE, NPZ_SIDE = 28, 32
CLASSES = 5
Rows = list[list[str]]


def write_png(root: Path, images: int, side: int) -> Path:
    """Write noise in folders of classes; what is measured does not depend on what is seen."""
    random = np.random.default_rng(0)
    for k in range(CLASSES):
        (root / f"class{k}").mkdir(parents=True)
    for i in range(images):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        file = root / f"class{i % CLASSES}" / f"{i:06}.png"
        Image.fromarray(pixels).save(file, compress_level=1)
    return root


def write_npz(root: Path, images: int, side: int, *, colour: bool = True) -> Path:
    """Write noise as arrays."""
    random = np.random.default_rng(0)
    shape = (images, side, side, 3) if colour else (images, side, side)
    pixels = random.integers(0, 256, shape, dtype=np.uint8)
    np.savez(root / "images.npz", images=pixels, labels=np.arange(images) % CLASSES)
    return root / "images.npz"


def start(path: Path, *, first: bool) -> measure.Result:
    """Return what a start took until its first step; a first one can be had once only."""
    if first:
        measure.wait_for_quiet()
    run = measure.run_program if first else measure.run_undisturbed
    found = run("ours/first_step.py", [path])
    return {**found, "seconds": found["at"] - found["began"]}


def row(name: str, found: list[measure.Result]) -> list[str]:
    """Return a line of the table."""
    seconds = measure.Spread(tuple(one["seconds"] for one in found))
    cpu = measure.Spread(tuple(one["cpu"] for one in found))
    return [
        name,
        f"{seconds.median:.2f}",
        seconds.range(2),
        f"{cpu.median:.2f}",
        f"{max(one['memory'] for one in found):.2f}",
        f"{max(one['others'] for one in found):.0%}",
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--png", type=int, default=60_000, help="PNG files; 0: none")
    parser.add_argument("--npz", type=int, default=50_000, help="images of the .npz; 0: none")
    parser.add_argument("--repeats", type=int, default=5, help="second starts of each")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    asked = parser.parse_args()
    rows: Rows = []
    verdicts = []
    for images, write, side, what in (
        (asked.png, write_png, PNG_SIDE, "PNG files"),
        (asked.npz, write_npz, NPZ_SIDE, "images of an .npz"),
    ):
        if not images:
            continue
        name = f"{images:,} {what}, 3 x {side} x {side}"
        with tempfile.TemporaryDirectory(prefix="own-images-") as folder:
            measure.say(f"writing {name}")
            os.environ["MNIST_STUDIES_CACHE"] = f"{folder}/cache"
            (Path(folder) / "images").mkdir()
            path = write(Path(folder) / "images", images, side)
            measure.say("first start")
            rows.append(row(f"first start, {name}", [start(path, first=True)]))
            measure.say("second starts")
            again = [start(path, first=False) for _ in range(asked.repeats)]
            rows.append(row(f"second start, {name}", again))
        median = measure.Spread(tuple(one["seconds"] for one in again)).median
        what = f"second start, {name}"
        verdicts.append(measure.verdict(what, median, TARGET, unit=" s", at_most=True))
    header = ["", "wall s", "min..max", "CPU s", "memory GiB", "others"]
    table = measure.table(header, rows)
    text = "\n\n".join([measure.environment(measure.cpu_name()), table, "\n".join(verdicts)])
    print(text)
    if asked.record:
        measure.record("own images, from process start to the first step", text)


if __name__ == "__main__":
    main()
