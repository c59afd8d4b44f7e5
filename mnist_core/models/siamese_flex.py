"""``siamese_flex``: are two images of the same class? ``flex_cnn`` for both; 297,250 parameters.

The logit is ``scale * (cosine - middle)`` of two embeddings, with ``scale`` and ``middle`` learned
by the loss bce. After Bromley et al. 1993 ("siamese"). Positive logits: same class.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models import flex_cnn
from mnist_core.models._layers import PairModel

TASK = "pairs"

OPTIONS = {**flex_cnn.OPTIONS, "embedding": 64}

complete = flex_cnn.complete
check = flex_cnn.check


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``siamese_flex``; of how many classes the images are makes no difference."""
    return SiameseFlex(config, images)


class SiameseFlex(PairModel):
    """``flex_cnn`` for both images, and their cosine."""

    def __init__(self, config: ModelConfig, images: Images = MNIST) -> None:
        super().__init__()
        assert config.embedding is not None
        self.encoder = flex_cnn.build(config, config.embedding, images)
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.middle = nn.Parameter(torch.tensor(0.5))

    def embed(self, images: Tensor) -> Tensor:
        """Turn normalised images ``[N, C, H, W]`` into ``[N, D]``, D the ``embedding``."""
        embeddings: Tensor = self.encoder(images)
        return embeddings

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Turn the embeddings ``[N, D]`` of the two images into logits ``[N]``."""
        if a.dtype != torch.float64:
            a, b = a.float(), b.float()  # out of half precision
        return self.scale * (functional.cosine_similarity(a, b) - self.middle)
