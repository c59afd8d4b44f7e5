"""``pair_concat``: the baseline for ``siamese``: both images side by side; 437,953 parameters.

The network must learn by itself that two images are compared.
"""

import torch
from torch import Tensor, nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.models._convolutions import (
    MOST_POOLS,
    PAIR_OPTIONS,
    SIDE,
    channels,
    check_size,
    pair_encoder,
)
from mnist_core.models._layers import ACTIVATIONS, Dropout, Flatten

TASK = "pairs"

OPTIONS = {**PAIR_OPTIONS, "head_width": 128}


def check(config: ModelConfig) -> None:
    """Check that the network can be built, or raise ``ConfigError``."""
    assert config.depth is not None
    if config.depth > MOST_POOLS:
        raise ConfigError(
            f"model.depth: pair_concat has 1 to {MOST_POOLS} convolutions (a side of {SIDE} is"
            f" halved after each), but got {config.depth}"
        )
    check_size(config, kernel=3, features=_features(config))


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``pair_concat``; of how many classes the images are makes no difference."""
    assert config.activation is not None and config.depth is not None
    assert config.head_width is not None and config.dropout is not None
    features = _features(config)
    # No pixel is averaged away, because its place says which image it is of: 28 x 56 pixels become
    # 3 x 7.
    layers = [SideBySide(), *pair_encoder(config, pools=config.depth), Flatten()]
    if config.head_width:
        layers += [
            nn.Linear(features, config.head_width),
            ACTIVATIONS[config.activation](),
            Dropout(config.dropout),
        ]
        features = config.head_width
    return nn.Sequential(*layers, nn.Linear(features, 1), nn.Flatten(0))


class SideBySide(nn.Module):
    """Put the two images of every pair beside one another."""

    def forward(self, pairs: Tensor) -> Tensor:
        """Turn ``[N, 2, H, W]`` into ``[N, 1, H, 2 * W]``, the first image on the left."""
        return torch.cat(pairs.unbind(1), dim=2).unsqueeze(1)


def _features(config: ModelConfig) -> int:
    assert config.depth is not None
    return channels(config)[-1] * (SIDE >> config.depth) * (2 * SIDE >> config.depth)
