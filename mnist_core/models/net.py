"""``net``: two convolutions, two linear layers, ReLU; 225,034 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.models._layers import Crop, Flatten


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``net``."""
    return with_activation(nn.ReLU, n_classes)


def with_activation(activation: type[nn.Module], n_classes: int) -> nn.Module:
    """Build ``net`` with another, monotonic activation.

    Pooling comes before the activation: max(f(x)) = f(max(x)) for every monotonic f, and a quarter
    of the values is left to apply f to.
    """
    return nn.Sequential(
        Crop(26),
        nn.Conv2d(1, 32, 3),
        nn.MaxPool2d(2),
        activation(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        activation(),
        Flatten(),
        nn.Linear(1600, 128),
        activation(),
        nn.Linear(128, n_classes),
    )
