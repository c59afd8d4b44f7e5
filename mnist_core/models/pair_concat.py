"""``pair_concat``: the baseline for ``siamese``: both images side by side; 437,953 parameters.

The network must learn by itself that two images are compared.
"""

import torch
from torch import Tensor, nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images
from mnist_core.models._convolutions import (
    PAIR_OPTIONS,
    channels,
    check_size,
    most_pools,
    pair_encoder,
)
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import ACTIVATIONS, Dropout, Flatten

TASK = "pairs"

OPTIONS = {**PAIR_OPTIONS, "head_width": 128}


def check(config: ModelConfig, images: Images = MNIST) -> None:
    """Check that the network can be built, or raise ``ConfigError``."""
    assert config.depth is not None
    if config.depth > most_pools(images):
        raise ConfigError(
            f"model.depth: pair_concat has 1 to {most_pools(images)} convolutions (a side of"
            f" {images.side} is halved after each), but got {config.depth}"
        )
    check_size(config, kernel=3, features=_features(config, images))


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``pair_concat``; of how many classes the images are makes no difference."""
    assert config.activation is not None and config.depth is not None
    assert config.head_width is not None and config.dropout is not None
    features = _features(config, images)
    # No pixel is averaged away, because its place says which image it is of: 28 x 56 pixels become
    # 3 x 7.
    layers = [SideBySide(), *pair_encoder(config, images, pools=config.depth), Flatten()]
    if config.head_width:
        layers += [
            nn.Linear(features, config.head_width),
            ACTIVATIONS[config.activation](),
            Dropout(config.dropout),
        ]
        features = config.head_width
    return FusedSequential(*layers, nn.Linear(features, 1), nn.Flatten(0))


class SideBySide(nn.Module):
    """Put the two images of every pair beside one another."""

    def forward(self, pairs: Tensor) -> Tensor:
        """Turn ``[N, 2, (C,) H, W]`` into ``[N, C, H, 2 * W]``, the first image on the left."""
        both = torch.cat(pairs.unbind(1), dim=-1)
        return both.unsqueeze(1) if both.ndim == 3 else both


def _features(config: ModelConfig, images: Images) -> int:
    assert config.depth is not None
    rows, columns = images.rows >> config.depth, 2 * images.columns >> config.depth
    return channels(config)[-1] * rows * columns
