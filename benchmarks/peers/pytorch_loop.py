"""MNIST in PyTorch as people write it: a peer of ``benchmarks/trainer.py``.

It follows pytorch/examples ``mnist/main.py``: ``torchvision.datasets.MNIST``, ``ToTensor`` and
``Normalize``, a ``DataLoader`` that shuffles, an ``nn.Module`` with ``F.relu`` and
``F.max_pool2d``, an optimizer of ``torch.optim`` in its default implementation, a validation loop
after each epoch. It uses nothing of this project.

    python benchmarks/peers/pytorch_loop.py --root DIR --model net --epochs 4

DIR holds ``MNIST/raw/train-images-idx3-ubyte`` and so on, as torchvision keeps them; what is called
"test" there is what it validates on. The last line of its output is the result as JSON: seconds
of the training loops, of the validations and of everything together; images trained on; accuracy.

``resnet18`` is torchvision's with another first layer; ``siamese`` learns pairs (``siamese.py``).

Options that leave the algorithm alone: ``--num-workers`` and ``--persistent-workers`` of both
loaders, ``--threads`` of torch (0: torch's own choice). As shipped: none of them.
"""

import argparse
import json
import time
from typing import Any

import torch
import torch.nn.functional as F
from siamese import Pairs, Siamese
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms
from torchvision.models import resnet18

WARM_UP_IMAGES = 1280
PAIRS_AN_EPOCH, VALIDATION_PAIRS = 12_000, 4_000


class Net(nn.Module):
    """Two convolutions, each pooled, and two linear layers; 225,034 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(1600, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[N, 1, 28, 28]`` to log-probabilities ``[N, 10]``."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=1)


class Cnn(nn.Module):
    """The network of pytorch/examples ``mnist/main.py``; 1,199,882 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[N, 1, 28, 28]`` to log-probabilities ``[N, 10]``."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return F.log_softmax(self.fc2(x), dim=1)


class ResNet18(nn.Module):
    """torchvision's, for 28 x 28: first layer 3 x 3 of one channel; 11,172,810 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.model = resnet18(num_classes=10)
        self.model.conv1 = nn.Conv2d(1, 64, 3, stride=1, padding=1, bias=False)
        self.model.maxpool = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[N, 1, 28, 28]`` to log-probabilities ``[N, 10]``."""
        return F.log_softmax(self.model(x), dim=1)


MODELS = {"net": Net, "cnn": Cnn, "resnet18": ResNet18, "siamese": Siamese}


def loss_of(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the loss: of classes, or of pairs, whose targets are not whole numbers."""
    if target.is_floating_point():
        return F.binary_cross_entropy_with_logits(output, target, reduction=reduction)
    return F.nll_loss(output, target, reduction=reduction)


def hits(output: Tensor, target: Tensor) -> int:
    """Return how many of the batch are right."""
    if target.is_floating_point():
        return int(((output > 0) == (target > 0.5)).sum().item())
    return int((output.argmax(dim=1) == target).sum().item())


def load(root: str, model: str, limit: int) -> tuple[Dataset[Any], Dataset[Any]]:
    """Return what ``model`` trains on and what it is validated on, made of the images in ``root``.

    ``limit``: only so many training images, 0: all. Pairs are drawn of all images.
    """
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    train_set = datasets.MNIST(root, train=True, transform=transform)
    val_set = datasets.MNIST(root, train=False, transform=transform)
    if model == "siamese":
        return (
            Pairs(train_set, train_set.targets.tolist(), limit or PAIRS_AN_EPOCH, None),
            Pairs(val_set, val_set.targets.tolist(), VALIDATION_PAIRS, 0),
        )
    return Subset(train_set, range(limit)) if limit else train_set, val_set


def loaders(
    train_set: Dataset[Any], val_set: Dataset[Any], batch_size: int = 64, **options: Any
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Return the loaders of both; ``options`` go to both."""
    return (
        DataLoader(train_set, batch_size=batch_size, shuffle=True, **options),
        DataLoader(val_set, batch_size=1000, **options),
    )


def train_epoch(
    model: nn.Module,
    loader: DataLoader[Any],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> int:
    """Train for one epoch; return how many images that were."""
    model.train()
    images = 0
    for data, target in loader:
        optimizer.zero_grad()
        output = model(data)
        loss = loss_of(output, target)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        images += len(data)
    return images


def validate(model: nn.Module, loader: DataLoader[Any]) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    model.eval()
    loss, correct, images = 0.0, 0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            loss += loss_of(output, target, reduction="sum").item()
            correct += hits(output, target)
            images += len(data)
    return loss / images, correct / images


def run(
    name: str,
    train_set: Dataset[Any],
    val_set: Dataset[Any],
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    options: dict[str, Any],
) -> dict[str, float]:
    """Train one model with Adam and say how long it took, in seconds."""
    begun = time.perf_counter()
    train_loader, val_loader = loaders(train_set, val_set, batch_size, **options)
    model = MODELS[name]()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    images, validation_seconds, accuracy = 0, 0.0, 0.0
    for _ in range(epochs):
        images += train_epoch(model, train_loader, optimizer)
        pause = time.perf_counter()
        _, accuracy = validate(model, val_loader)
        validation_seconds += time.perf_counter() - pause
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "train_seconds": seconds - validation_seconds,
        "images": images,
        "accuracy": accuracy,
        "parameters": sum(p.numel() for p in model.parameters()),
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
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--persistent-workers", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    options: dict[str, Any] = {"num_workers": args.num_workers}
    if args.persistent_workers:
        options["persistent_workers"] = True
    train_set, val_set = load(args.root, args.model, args.limit)
    settings = {"lr": args.lr, "batch_size": args.batch_size, "options": options}
    few = range(min(WARM_UP_IMAGES, len(train_set)))  # type: ignore[arg-type]
    run(args.model, Subset(train_set, few), Subset(val_set, few[:500]), epochs=1, **settings)
    torch.manual_seed(args.seed)
    result = run(args.model, train_set, val_set, epochs=args.epochs, **settings)
    print(json.dumps({**result, "threads": torch.get_num_threads(), "precision": "fp32"}))


if __name__ == "__main__":
    main()
