"""The same trainings as ``pytorch_loop.py`` by PyTorch Lightning: the second peer.

A ``LightningModule`` with ``training_step``, ``validation_step`` and ``configure_optimizers``, as
Lightning's documentation begins, and its ``Trainer``. Its logger, checkpoints and progress bar are
off, so it is faster here than as it comes; models, data and loaders are those of
``pytorch_loop.py``.

    python benchmarks/peers/lightning_loop.py --root DIR --model net --epochs 4

The last line of its output is the result as JSON, with the entries of ``pytorch_loop.py``; the
seconds of the training loops are those between the hooks around training and validation epochs.
"""

import argparse
import json
import logging
import time
import warnings
from typing import Any

import pytorch_lightning
import torch
from pytorch_loop import MODELS, WARM_UP_IMAGES, hits, load, loaders, loss_of
from torch import Tensor
from torch.utils.data import Dataset, Subset


class Module(pytorch_lightning.LightningModule):
    """A model of ``pytorch_loop`` with its training."""

    def __init__(self, name: str, lr: float) -> None:
        super().__init__()
        self.model, self.lr = MODELS[name](), lr
        self.correct = self.validated = self.images = 0
        self.accuracy, self.validation_seconds, self.pause = 0.0, 0.0, 0.0

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        data, target = batch
        self.images += len(data)
        return loss_of(self.model(data), target)

    def on_validation_start(self) -> None:
        """Stop the clock of the training."""
        self.pause, self.correct, self.validated = time.perf_counter(), 0, 0

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Count what is right."""
        data, target = batch
        self.correct += hits(self.model(data), target)
        self.validated += len(data)

    def on_validation_end(self) -> None:
        """Start the clock again."""
        self.accuracy = self.correct / self.validated
        self.validation_seconds += time.perf_counter() - self.pause

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def run(
    name: str,
    train_set: Dataset[Any],
    val_set: Dataset[Any],
    *,
    epochs: int,
    lr: float,
    batch_size: int,
) -> dict[str, float]:
    """Train one model and say how long it took, in seconds."""
    begun = time.perf_counter()
    train_loader, val_loader = loaders(train_set, val_set, batch_size)
    module = Module(name, lr)
    trainer = pytorch_lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, train_loader, val_loader)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "train_seconds": seconds - module.validation_seconds,
        "images": module.images,
        "accuracy": module.accuracy,
        "parameters": sum(p.numel() for p in module.parameters()),
    }


def main() -> None:
    """Warm up, train once, print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", choices=MODELS, default="net")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # on loader workers, that no logger is configured …
    train_set, val_set = load(args.root, args.model, args.limit)
    settings = {"lr": args.lr, "batch_size": args.batch_size}
    few = range(min(WARM_UP_IMAGES, len(train_set)))  # type: ignore[arg-type]
    run(args.model, Subset(train_set, few), Subset(val_set, few[:500]), epochs=1, **settings)
    pytorch_lightning.seed_everything(args.seed, verbose=False)
    result = run(args.model, train_set, val_set, epochs=args.epochs, **settings)
    print(json.dumps({**result, "threads": torch.get_num_threads(), "precision": "fp32"}))


if __name__ == "__main__":
    main()
