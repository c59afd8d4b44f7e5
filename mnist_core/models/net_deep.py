"""``net_deep``: three convolutions, three linear layers; 159,882 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.models._layers import Crop, Flatten


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``net_deep``. Pooling before ReLU is exact, see ``_layers``; so is the crop."""
    return nn.Sequential(
        Crop(22),
        nn.Conv2d(1, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Flatten(),
        nn.Linear(128, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, n_classes),
    )
