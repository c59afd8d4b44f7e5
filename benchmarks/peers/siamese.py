"""Siamese pairs in PyTorch as people write them: model and data set of the peers.

A ``Dataset`` that draws a pair an item in Python, as pytorch/examples ``siamese_network/main.py``
does: half of them of the same digit, never an image with itself. The network is the same as this
project's ``siamese``, in the usual order of layers. It uses nothing of this project.
"""

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset


class Siamese(nn.Module):
    """One encoder for both images; 192,449 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 32, 5, padding=2), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128)
        self.projection = nn.Linear(128, 128)
        self.head = nn.Sequential(
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Dropout(0.4),
            nn.Linear(256, 64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 1),
        )

    def encode(self, x: Tensor) -> Tensor:
        """Map images ``[N, 1, 28, 28]`` to ``[N, 128]``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.relu(self.bn3(self.conv3(x)))
        return F.relu(self.projection(x.mean(dim=(2, 3))))

    def forward(self, pairs: Tensor) -> Tensor:
        """Map pairs ``[N, 2, 1, 28, 28]`` to logits ``[N]``."""
        a, b = self.encode(pairs[:, 0]), self.encode(pairs[:, 1])
        logits: Tensor = self.head(torch.cat([(a - b).abs(), a * b], dim=1)).squeeze(1)
        return logits


class Pairs(Dataset[Any]):
    """``n`` random pairs of ``images``; fresh ones at every access if ``seed`` is None."""

    def __init__(self, images: Dataset[Any], labels: list[int], n: int, seed: int | None) -> None:
        self.images, self.n = images, n
        self.fixed = random.Random(seed) if seed is not None else None
        self.by_label: dict[int, list[int]] = {}
        for index, label in enumerate(labels):
            self.by_label.setdefault(label, []).append(index)
        self.pairs = [self.draw(i, self.fixed) for i in range(n)] if self.fixed else None

    def draw(self, item: int, rng: Any) -> tuple[int, int]:
        """Return two images: of the same digit if ``item`` is even."""
        label = rng.choice(list(self.by_label))
        first = rng.choice(self.by_label[label])
        if item % 2 == 0:
            second = rng.choice(self.by_label[label])
            while second == first:
                second = rng.choice(self.by_label[label])
        else:
            other = rng.choice([x for x in self.by_label if x != label])
            second = rng.choice(self.by_label[other])
        return first, second

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.n

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        """Return both images and whether they are of the same digit, 1 or 0."""
        first, second = self.pairs[item] if self.pairs else self.draw(item, random)
        pair = torch.stack([self.images[first][0], self.images[second][0]])
        return pair, torch.tensor(float(item % 2 == 0))
