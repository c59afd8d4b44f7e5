"""``lenet5``: LeNet-5 (LeCun et al. 1998); 61,706 parameters for 10 classes.

As usual today: the second convolution sees all maps, pooling has no weights, and the last layer is
linear instead of radial basis functions.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models._layers import Flatten, after_layers, check_side


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``lenet5``; padding 2 makes the 28 x 28 image the 32 x 32 one of the paper."""
    check_side(images, 12, "lenet5")
    rows, columns = after_layers(images, ("pool", 4, "pool"))
    return nn.Sequential(
        nn.Conv2d(images.channels, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, n_classes),
    )
