"""One training by this project's trainer, timed: our side of ``benchmarks/trainer.py``.

    python benchmarks/ours/train_once.py --model net --epochs 4

The last line of its output is the result as JSON, with the same entries as that of
``peers/pytorch_loop.py``. The seconds are those of the whole call of ``train``, so they include
building the model and normalising the images.
"""

import argparse
import dataclasses
import json
import time

from mnist_core.config import TrainConfig
from mnist_core.data import Split, load
from mnist_core.device import runtime
from mnist_core.train import train

WARM_UP_IMAGES = 1280


def first_images(split: Split, n: int) -> Split:
    """Return the first ``n`` images."""
    return Split(split.images[:n], split.labels[:n])


def main() -> None:
    """Warm up, train once, print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist-10pct", help="data.name")
    parser.add_argument("--data-root", default="", help="data.root")
    parser.add_argument("--model", default="net")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    config = TrainConfig.from_mapping(
        {
            "data": {"name": args.data, "root": args.data_root},
            "model": {"name": args.model},
            "optim": {"name": "adam", "lr": args.lr},
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "seed": args.seed,
            "precision": args.precision,
            "threads": args.threads,
            "device": "cpu",
        },
        source="benchmark",
    )
    data = load(config.data, runtime.resolve(config).device)
    few = dataclasses.replace(
        data,
        train=first_images(data.train, WARM_UP_IMAGES),
        validation=first_images(data.validation, 500),
    )
    train(config.override({"epochs": 1, "pairs.per_epoch": WARM_UP_IMAGES}), few)
    if args.limit and args.model == "siamese":
        config = config.override({"pairs.per_epoch": args.limit})
    elif args.limit:
        data = dataclasses.replace(data, train=first_images(data.train, args.limit))
    begun = time.perf_counter()
    result = train(config, data)
    seconds = time.perf_counter() - begun
    validation_seconds = result.seconds - result.train_seconds
    print(
        json.dumps(
            {
                "seconds": seconds,
                "train_seconds": seconds - validation_seconds,
                "images": result.images,
                "accuracy": result.metrics["val_accuracy"],
                "loss": result.metrics["val_loss"],
                "parameters": result.n_parameters,
                "threads": result.config.threads,
                "precision": result.config.precision,
            }
        )
    )


if __name__ == "__main__":
    main()
