"""``cnn``: the network of pytorch/examples' MNIST script; 1,199,882 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import Dropout, Flatten, after_layers, check_side


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``cnn``. Pooling before ReLU is exact, see ``_layers``."""
    check_side(images, 6, "cnn")
    rows, columns = after_layers(images, (2, 2, "pool"))
    return FusedSequential(
        nn.Conv2d(images.channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Flatten(),
        Dropout(0.25),
        nn.Linear(64 * rows * columns, 128),
        nn.ReLU(),
        Dropout(0.5),
        nn.Linear(128, n_classes),
    )
