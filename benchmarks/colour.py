"""Colour images: ``flex_cnn`` here against the same network in a ``DataLoader`` loop, interleaved.

    python benchmarks/colour.py --images 5000 --side 32 --rounds 3
    python benchmarks/colour.py --images 60000 --side 28 --rounds 0                # 60,000 PNG
    python benchmarks/colour.py --images 50000 --side 32 --rounds 0 --format npz

It writes that many pictures in five folders (or one ``.npz``), and prints the seconds of a first
and of a second start (decoding, or the cache) in processes of their own, until the first batch is
computed, imports apart, with the most memory that they took. Then it trains one epoch of each kind
per round, and prints the images a second of the training alone (peer: the loop that people write
over torchvision's ``ImageFolder``, ``ToTensor`` and ``Normalize``) and the ratio.
"""

import argparse
import os
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

ROOT = Path(__file__).resolve().parent.parent

_START = """
import resource, sys, time
began = time.perf_counter()
from mnist_core import train, tasks
from mnist_core.config import TrainConfig
from mnist_core.data import load
import mnist_core.trainer.training
started = time.perf_counter()
config = train.resolve(TrainConfig().override({"data.name": sys.argv[1], "device": "cpu"}))
data = load(config.data)
tasks.take_one_batch(config.override({"model.name": "flex_cnn"}), data)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(started - began, time.perf_counter() - started, memory)
"""


def write(root: Path, images: int, side: int, kind: str) -> Path:
    """Write noise in five folders, or as arrays; what is measured does not depend on it."""
    random = np.random.default_rng(0)
    if kind == "npz":
        pixels = random.integers(0, 256, (images, side, side, 3), dtype=np.uint8)
        np.savez(root / "images.npz", images=pixels, labels=np.arange(images) % 5)
        return root / "images.npz"
    for i in range(images):
        folder = root / f"class{i % 5}"
        folder.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06}.png", compress_level=1)
    return root


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


def start(path: Path, cache: Path) -> str:
    """Say how long it takes until the first batch is computed, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _START, str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MNIST_STUDIES_CACHE": str(cache)},
        cwd=ROOT,
    )
    imports, seconds, memory = map(float, done.stdout.split())
    return f"{seconds:.2f} s (and {imports:.1f} s of imports), {memory:.2f} GiB"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--format", choices=("png", "npz"), default="png")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.rounds and asked.format != "png":
        parser.error("the loop reads pictures: --rounds 0 with --format npz")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        path = write(Path(folder), asked.images, asked.side, asked.format)
        print(f"first start {start(path, Path(cache))}")
        print(f"second start {start(path, Path(cache))}")
        if asked.rounds:
            os.environ["MNIST_STUDIES_CACHE"] = cache
            compare(path, rounds=asked.rounds, threads=asked.threads)


def compare(path: Path, *, rounds: int, threads: int) -> None:
    """Print how fast each trains, round by round."""
    settings = {"data.name": str(path), "model.name": "flex_cnn", "epochs": 1, "device": "cpu"}
    config = TrainConfig().override({**settings, "threads": threads})
    data = load(config.data)
    for _ in range(rounds):
        one, other = ours(data, config), peer(path, data, config)
        print(f"ours {one:,.0f} images/s, loop {other:,.0f} images/s, ratio {one / other:.2f}")


if __name__ == "__main__":
    main()
