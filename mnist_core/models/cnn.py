"""``cnn``: the network of pytorch/examples' MNIST script; 1,199,882 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.models._layers import Dropout, Flatten


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``cnn``. Pooling before ReLU is exact, see ``_layers``."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Flatten(),
        Dropout(0.25),
        nn.Linear(9216, 128),
        nn.ReLU(),
        Dropout(0.5),
        nn.Linear(128, n_classes),
    )
