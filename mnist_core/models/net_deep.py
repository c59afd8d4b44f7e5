"""``net_deep``: three convolutions, three linear layers; 159,882 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import Flatten, Layers, after_layers, check_side, crop_to_used

_LAYERS: Layers = (2, "pool", 2, "pool", 2, "pool")


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``net_deep``. Pooling before ReLU is exact, see ``_layers``; so is the crop."""
    check_side(images, 22, "net_deep")
    rows, columns = after_layers(images, _LAYERS)
    return FusedSequential(
        crop_to_used(images, _LAYERS),
        nn.Conv2d(images.channels, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Flatten(),
        nn.Linear(128 * rows * columns, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, n_classes),
    )
