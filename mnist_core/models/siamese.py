"""``siamese``: are two images of the same class? One encoder for both; 192,449 parameters.

After Bromley et al. 1993 ("siamese"), and for the features |a - b| and a * b, which are the same
for both orders of the images, Conneau et al. 2017, arXiv:1705.02364. Positive logits: same class.
"""

import torch
from torch import Tensor, nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images
from mnist_core.models._convolutions import PAIR_OPTIONS, channels, most_pools, pair_encoder
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import ACTIVATIONS, Dropout, GlobalAverage, PairModel

TASK = "pairs"

OPTIONS = {**PAIR_OPTIONS, "embedding": 128, "head_width": 256}


def check(config: ModelConfig, images: Images = MNIST) -> None:
    """Check that the network can be built, or raise ``ConfigError``."""
    assert config.depth is not None and config.head_width is not None
    if config.depth > most_pools(images):
        raise ConfigError(
            f"model.depth: siamese has 1 to {most_pools(images)} convolutions (a side of"
            f" {images.side} is halved"
            f" after all but the last), but got {config.depth}"
        )
    if 0 < config.head_width < 4:
        raise ConfigError(
            "model.head_width: the head's second layer has a quarter of it, so it must be 0 or at"
            f" least 4, but got {config.head_width}"
        )
    channels(config)


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``siamese``; of how many classes the images are makes no difference."""
    return Siamese(config, images)


class Siamese(PairModel):
    """One encoder for both images, and a head over their difference and product."""

    def __init__(self, config: ModelConfig, images: Images = MNIST) -> None:
        super().__init__()
        assert config.activation is not None and config.depth is not None
        assert config.embedding is not None
        activation = ACTIVATIONS[config.activation]
        encoder = pair_encoder(config, images, pools=config.depth - 1)
        self.encoder = FusedSequential(*encoder, GlobalAverage())
        self.projection = nn.Sequential(
            nn.Linear(channels(config)[-1], config.embedding), activation()
        )
        self.head = _head(config)

    def embed(self, images: Tensor) -> Tensor:
        """Turn normalised images ``[N, C, H, W]`` into ``[N, D]``, D the ``embedding``."""
        embeddings: Tensor = self.projection(self.encoder(images))
        return embeddings

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Turn the embeddings ``[N, D]`` of the two images into logits ``[N]``."""
        logits: Tensor = self.head(torch.cat([(a - b).abs(), a * b], dim=1))
        return logits.squeeze(1)


def _head(config: ModelConfig) -> nn.Sequential:
    assert config.activation is not None and config.embedding is not None
    assert config.head_width is not None and config.dropout is not None
    features = 2 * config.embedding
    if config.head_width == 0:
        return nn.Sequential(Dropout(config.dropout), nn.Linear(features, 1))
    activation = ACTIVATIONS[config.activation]
    return nn.Sequential(
        nn.Linear(features, config.head_width),
        activation(),
        Dropout(config.dropout),
        nn.Linear(config.head_width, config.head_width // 4),
        activation(),
        Dropout(config.dropout / 2),
        nn.Linear(config.head_width // 4, 1),
    )
