"""``net``: two convolutions, two linear layers; 225,034 parameters for 10 classes."""

from torch import nn

from mnist_core.config import Activation, ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import (
    ACTIVATIONS,
    Flatten,
    Layers,
    after_layers,
    check_side,
    crop_to_used,
    with_pooling,
)

OPTIONS = {"activation": "relu"}

_LAYERS: Layers = (2, "pool", 2, "pool")


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``net``."""
    assert config.activation is not None  # models.resolve() filled it in
    return with_activation(config.activation, n_classes, images)


def with_activation(activation: Activation, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``net`` with ``activation``, and pooling before it where that is exact."""
    check_side(images, 10, "net")
    rows, columns = after_layers(images, _LAYERS)
    return FusedSequential(
        crop_to_used(images, _LAYERS),
        nn.Conv2d(images.channels, 32, 3),
        *with_pooling(activation, nn.MaxPool2d(2)),
        nn.Conv2d(32, 64, 3),
        *with_pooling(activation, nn.MaxPool2d(2)),
        Flatten(),
        nn.Linear(64 * rows * columns, 128),
        ACTIVATIONS[activation](),
        nn.Linear(128, n_classes),
    )
