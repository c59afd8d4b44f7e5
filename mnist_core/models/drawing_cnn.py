"""``drawing_cnn``: the network behind the drawing window; 421,642 parameters for 10 classes.

Two padded convolutions of 32 and 64 channels, each pooled, and two linear layers.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import Dropout, Flatten, after_layers, check_side


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``drawing_cnn``. Pooling before ReLU is exact, see ``net``."""
    check_side(images, 4, "drawing_cnn")
    rows, columns = after_layers(images, ("pool", "pool"))
    return FusedSequential(
        nn.Conv2d(images.channels, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Flatten(),
        nn.Linear(64 * rows * columns, 128),
        nn.ReLU(),
        Dropout(0.25),
        nn.Linear(128, n_classes),
    )
