"""Colour images: ``flex_cnn`` here against the same network in a ``DataLoader`` loop, interleaved.

    python benchmarks/colour.py --images 5000 --side 32 --rounds 3

It writes that many pictures in five folders, trains one epoch of each kind per round, and prints
the images a second of the training alone (peer: the loop of ``pytorch_loop.py`` over torchvision's
``ImageFolder``, ``ToTensor`` and ``Normalize``), the ratio, and the seconds of a first and of a
second start (decoding, or the cache) in processes of their own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mnist_core import models
from mnist_core.config import TrainConfig
from mnist_core.data import Data, load
from mnist_core.train import train

_START = """
import sys, time
started = time.perf_counter()
from mnist_core import train, tasks
from mnist_core.config import TrainConfig
from mnist_core.data import load
config = train.resolve(TrainConfig().override({"data.name": sys.argv[1], "device": "cpu"}))
data = load(config.data)
tasks.take_one_batch(config.override({"model.name": "flex_cnn"}), data)
print(time.perf_counter() - started)
"""


def write(root: Path, images: int, side: int) -> None:
    """Write noise in five folders: what is measured does not depend on what is seen."""
    random = np.random.default_rng(0)
    for i in range(images):
        folder = root / f"class{i % 5}"
        folder.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06}.png", compress_level=1)


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


def start(root: Path) -> float:
    """Return the seconds until the first batch is computed, in a new process."""
    words = [sys.executable, "-c", _START, str(root)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, asked.images, asked.side)
        print(f"first start {start(root):.1f} s, second start {start(root):.1f} s")
        settings = {"data.name": folder, "model.name": "flex_cnn", "epochs": 1, "device": "cpu"}
        config = TrainConfig().override({**settings, "threads": asked.threads})
        data = load(config.data)
        for _ in range(asked.rounds):
            one, other = ours(data, config), peer(root, data, config)
            print(f"ours {one:,.0f} images/s, loop {other:,.0f} images/s, ratio {one / other:.2f}")


if __name__ == "__main__":
    main()
