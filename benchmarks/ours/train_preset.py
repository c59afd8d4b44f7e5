"""One training of a preset, timed, and its one reading of the test images: ``fast99.py``'s side.

    python benchmarks/ours/train_preset.py --preset fast99 --data-root DIR --seed 0

The last line of its output is the result as JSON. ``train_seconds`` are those of the whole call of
``train``, with building the model and normalising the images, but without the one validation after
the last step. A short training of other images warms up before.
"""

import argparse
import dataclasses
import json
import time

from train_once import WARM_UP_IMAGES, first_images

from mnist_core import presets
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.checkpoints.evaluate_checkpoint import judge
from mnist_core.config import TrainConfig
from mnist_core.data import Data, load, load_test
from mnist_core.device import runtime
from mnist_core.train import train


def main() -> None:
    """Warm up, train once, read the test images, print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="fast99")
    parser.add_argument("--data", default="", help="data.name; empty: the preset's")
    parser.add_argument("--data-root", default="", help="data.root")
    parser.add_argument("--epochs", type=int, default=0, help="0: the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-test", action="store_true", help="do not read the test images")
    args = parser.parse_args()
    changes = {"data.root": args.data_root, "threads": args.threads, "device": "cpu"}
    changes |= {"data.name": args.data} if args.data else {}
    changes |= {"epochs": args.epochs} if args.epochs else {}
    config = presets.load(args.preset).config.override({**changes, "seed": args.seed})
    device = runtime.resolve(config).device
    data = load(config.data, device)
    warm_up(config, data)
    begun = time.perf_counter()
    result = train(config, data)
    seconds = time.perf_counter() - begun
    found = {
        "seconds": seconds,
        "train_seconds": seconds - (result.seconds - result.train_seconds),
        "images": result.images,
        "validation": result.metrics["val_accuracy"],
        "parameters": result.n_parameters,
        "threads": result.config.threads,
        "precision": result.config.precision,
    }
    if not args.no_test:
        trained = Checkpoint(
            model=result.model,
            config=result.config,
            n_classes=data.n_classes,
            metrics=result.metrics,
            about=result.about,
        )
        found["test"] = judge(trained, load_test(config.data, device)).metrics["accuracy"]
    print(json.dumps(found))


def warm_up(config: TrainConfig, data: Data) -> None:
    """Train for a few steps, so that machine code and memory are there."""
    few = dataclasses.replace(
        data,
        train=first_images(data.train, max(WARM_UP_IMAGES, 2 * config.batch_size)),
        validation=first_images(data.validation, 500),
    )
    train(config.override({"epochs": 1, "pairs.per_epoch": WARM_UP_IMAGES}), few)


if __name__ == "__main__":
    main()
