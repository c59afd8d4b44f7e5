"""``net``: two convolutions, two linear layers; 225,034 parameters for 10 classes."""

from torch import nn

from mnist_core.config import Activation, ModelConfig
from mnist_core.models._layers import ACTIVATIONS, Crop, Flatten, with_pooling

OPTIONS = {"activation": "relu"}


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``net``."""
    assert config.activation is not None  # models.resolve() filled it in
    return with_activation(config.activation, n_classes)


def with_activation(activation: Activation, n_classes: int) -> nn.Module:
    """Build ``net`` with ``activation``, and pooling before it where that is exact."""
    return nn.Sequential(
        Crop(26),
        nn.Conv2d(1, 32, 3),
        *with_pooling(activation, nn.MaxPool2d(2)),
        nn.Conv2d(32, 64, 3),
        *with_pooling(activation, nn.MaxPool2d(2)),
        Flatten(),
        nn.Linear(1600, 128),
        ACTIVATIONS[activation](),
        nn.Linear(128, n_classes),
    )
