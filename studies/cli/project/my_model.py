"""A small model: one hidden layer."""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.images import Images

OPTIONS = {"head_width": 128}
"""The settings of ``[model]`` that it has, with their defaults."""


def build(config: ModelConfig, n_classes: int, images: Images) -> nn.Module:
    """Return the model: images ``[N, C, H, W]`` in, logits ``[N, n_classes]`` out."""
    width = config.head_width
    assert width is not None  # OPTIONS has its default
    pixels = images.channels * images.rows * images.columns
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, width),
        nn.ReLU(),
        nn.Linear(width, n_classes),
    )
