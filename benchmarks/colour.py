"""Colour images: ``flex_cnn`` here against the same network in a ``DataLoader`` loop, interleaved.

    python benchmarks/colour.py                          # 32 x 32 and 64 x 64, three rounds each
    python benchmarks/colour.py --record
    python benchmarks/colour.py --sides 32 --rounds 1    # a first look

It writes noise in colour in five folders, and trains one epoch of each kind per round. What is
compared are the images a second of the training alone. The loop is the one that people write over
torchvision's ``ImageFolder``, ``ToTensor`` and ``Normalize``, in fp32 as they do, and without
workers: with one thread each, workers would take processors that we do not take.
``python benchmarks/own_images.py`` measures the starts.

About six minutes on a quiet core.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import measure
import torch
from own_images import write_png
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mnist_core import models
from mnist_core.config import TrainConfig
from mnist_core.data import Data, load
from mnist_core.train import train

TARGET = 3.0
"""Times the images a second of the loop."""


def ours(data: Data, config: TrainConfig) -> float:
    """Return images a second of one epoch."""
    result = train(config, data)
    return result.images / result.train_seconds


def peer(root: Path, data: Data, config: TrainConfig) -> float:
    """Return images a second of one epoch of the loop that people write, in fp32 as they do."""
    about = data.about
    steps = [transforms.ToTensor(), transforms.Normalize(about.mean, about.std)]
    found = datasets.ImageFolder(str(root), transforms.Compose(steps))
    loader = DataLoader(found, batch_size=config.batch_size, shuffle=True)
    model = models.build(config.model, data.n_classes, about)
    optimizer = torch.optim.Adam(model.parameters())
    loss_of, seen, started = nn.CrossEntropyLoss(), 0, time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()
        seen += len(labels)
        if seen >= len(data.train):
            break
    return seen / (time.perf_counter() - started)


def compare(images: int, side: int, *, rounds: int, threads: int) -> list[tuple[float, float]]:
    """Return our images a second and the loop's, round by round."""
    with tempfile.TemporaryDirectory(prefix="colour-") as folder:
        os.environ["MNIST_STUDIES_CACHE"] = f"{folder}/cache"
        path = write_png(Path(folder) / "images", images, side)
        settings = {"data.name": str(path), "model.name": "flex_cnn", "epochs": 1, "device": "cpu"}
        config = TrainConfig().override({**settings, "threads": threads})
        data = load(config.data)
        found = []
        for number in range(rounds):
            measure.say(f"{side} x {side}: round {number + 1} of {rounds}")
            found.append((ours(data, config), peer(path, data, config)))
        return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows, verdicts = [], []
    for side in asked.sides:
        found = compare(asked.images, side, rounds=asked.rounds, threads=asked.threads)
        mine, theirs = (measure.Spread(values) for values in zip(*found, strict=True))
        ratios = measure.Spread(tuple(one / other for one, other in found))
        name = f"3 x {side} x {side}"
        rows.append(
            [
                name,
                f"{mine.median:,.0f}",
                f"{theirs.median:,.0f}",
                f"{ratios.median:.2f}",
                ratios.range(2),
            ]
        )
        verdicts.append(measure.verdict(f"x loop, {name}", ratios.median, TARGET, unit=""))
    header = ["", "images/s", "loop", "x loop", "min..max"]
    table = measure.table(header, rows)
    text = "\n\n".join([measure.environment(measure.cpu_name()), table, "\n".join(verdicts)])
    print(text)
    if asked.record:
        measure.record("colour images, flex_cnn against a DataLoader loop", text)


if __name__ == "__main__":
    main()
