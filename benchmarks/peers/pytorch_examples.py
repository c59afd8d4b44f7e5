"""The MNIST script of pytorch/examples, until its own test line says 99 %: a peer of ``fast99.py``.

It does what ``mnist/main.py`` there does with its default settings on a CPU: the network with two
dropouts, Adadelta at 1.0, times 0.7 after each epoch, batches of 64, the 60,000 training images,
the 10,000 test images after each epoch. It uses nothing of this project but the other peer.

    python benchmarks/peers/pytorch_examples.py --root DIR --target 0.99

DIR holds ``MNIST/raw/train-images-idx3-ubyte`` and so on, as torchvision keeps them. The last line
of its output is the result as JSON. ``train_seconds`` are of the training loops alone, up to the
end of the first epoch whose accuracy is ``--target``; ``reached`` says whether there was one.
"""

import argparse
import json
import time
from typing import Any

import torch
from pytorch_loop import WARM_UP_IMAGES, Cnn, load, loaders, train_epoch, validate
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Subset

BATCH, LR, GAMMA, EPOCHS = 64, 1.0, 0.7, 14


def main() -> None:
    """Warm up, train until the target, print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--target", type=float, default=0.99, help="accuracy, 0 to 1")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="at most")
    parser.add_argument("--limit", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: its own choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    train_set, test_set = load(args.root, "cnn", args.limit)
    few = Subset(train_set, range(WARM_UP_IMAGES))
    run(loaders(few, Subset(test_set, range(500)), BATCH), epochs=1, target=2.0)
    torch.manual_seed(args.seed)
    found = run(loaders(train_set, test_set, BATCH), epochs=args.epochs, target=args.target)
    print(json.dumps({**found, "threads": torch.get_num_threads()}))


def run(
    both: tuple[DataLoader[Any], DataLoader[Any]], *, epochs: int, target: float
) -> dict[str, object]:
    """Train until ``target`` or the end; return epochs, accuracy after each, seconds."""
    train_loader, test_loader = both
    model = Cnn()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=LR)
    scheduler = StepLR(optimizer, step_size=1, gamma=GAMMA)
    train_seconds = 0.0
    accuracies: list[float] = []
    for _ in range(epochs):
        begun = time.perf_counter()
        train_epoch(model, train_loader, optimizer)
        train_seconds += time.perf_counter() - begun
        accuracies.append(validate(model, test_loader)[1])
        if accuracies[-1] >= target:
            break
        scheduler.step()
    return {
        "train_seconds": train_seconds,
        "accuracies": accuracies,
        "epochs": len(accuracies),
        "reached": accuracies[-1] >= target,
    }


if __name__ == "__main__":
    main()
