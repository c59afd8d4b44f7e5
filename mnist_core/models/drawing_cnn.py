"""``drawing_cnn``: the network behind the drawing window; 421,642 parameters for 10 classes.

Two padded convolutions of 32 and 64 channels, each pooled, and two linear layers.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.models._layers import Dropout, Flatten


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``drawing_cnn``. Pooling before ReLU is exact, see ``net``."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Flatten(),
        nn.Linear(3136, 128),
        nn.ReLU(),
        Dropout(0.25),
        nn.Linear(128, n_classes),
    )
