"""``resnet18``: torchvision's ResNet-18 for images of 28 x 28; 11,172,810 parameters.

He et al. 2015, arXiv:1512.03385, with one channel in. By default the first layer is the usual one
for small images, 3 x 3, stride 1, no pooling, so the stages see 28, 14, 7 and 4 pixels a side.
``stem = 7`` keeps torchvision's own: a fourteenth of the work, but 7, 4, 2 and 1 pixels.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images
from mnist_core.models._fused_resnet import BasicBlock, ResNet

OPTIONS = {"stem": 3}


def check(config: ModelConfig) -> None:
    """Raise ``ConfigError`` for a stem other than 3 and 7."""
    if config.stem not in (3, 7):
        raise ConfigError(
            f"model.stem: must be 3 (for small images) or 7 (torchvision's), but got {config.stem}"
        )


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``resnet18`` with torchvision's own way to draw first weights."""
    model: nn.Module = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=n_classes)
    if config.stem == 3:
        model.conv1 = nn.Conv2d(images.channels, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    else:
        model.conv1 = nn.Conv2d(images.channels, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model
