"""``lenet5``: LeNet-5 (LeCun et al. 1998); 61,706 parameters for 10 classes.

As usual today: the second convolution sees all maps, pooling has no weights, and the last layer is
linear instead of radial basis functions.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.models._layers import Flatten


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``lenet5``; padding 2 makes the 28 x 28 image the 32 x 32 one of the paper."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, n_classes),
    )
