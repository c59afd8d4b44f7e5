"""``mlp512``: a perceptron with two hidden layers of 512; 669,706 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``mlp512``."""
    pixels = images.channels * images.rows * images.columns
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 512),
        nn.ReLU(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Linear(512, n_classes),
    )
