"""``net_sigmoid``: ``net`` with the sigmoid as activation; 225,034 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models.net import with_activation


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``net_sigmoid``."""
    return with_activation("sigmoid", n_classes, images)
