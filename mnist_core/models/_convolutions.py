"""What the models with a choice of convolutions share: how many channels, how far down."""

from itertools import pairwise

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import Images
from mnist_core.models._layers import ACTIVATIONS, Dropout, with_pooling

MOST_CHANNELS = 2048  # Of one layer. Two such layers of 3 x 3 have 38 million weights between them.

MOST_WEIGHTS = 100_000_000
"""Of a network. Beyond it a study's trial would rather fill the memory than train."""


PAIR_OPTIONS = {"activation": "relu", "depth": 3, "width": 32, "growth": 2.0, "dropout": 0.4}
"""Options of the models that compare images, and their defaults."""


def most_pools(images: Images) -> int:
    """Return how often the shorter side can be halved: 28 -> 14 -> 7 -> 3 -> 1 is four times."""
    return images.side.bit_length() - 1


def channels(config: ModelConfig) -> list[int]:
    """Return the channels of every convolution, multiples of 8.

    Layer ``i`` from 0 has about ``width * growth ** i`` of them, at least 8.

    Raises:
        ConfigError: if a layer would have more than ``MOST_CHANNELS``.
    """
    assert config.depth is not None and config.width is not None and config.growth is not None
    wanted = [config.width * config.growth**i for i in range(config.depth)]
    # Multiples of 8 fill vector units and tensor cores. A tie is rounded up.
    sizes = [max(8, int(size / 8 + 0.5) * 8) for size in wanted]
    for layer, size in enumerate(sizes, start=1):
        if size > MOST_CHANNELS:
            raise ConfigError(
                f"model.growth: layer {layer} would have {size:,} channels (width {config.width}, "
                f"growth {config.growth:g}), but {MOST_CHANNELS:,} are the most"
            )
    return sizes


def check_size(config: ModelConfig, *, kernel: int, features: int) -> None:
    """Raise ``ConfigError`` if a network is too large to be meant."""
    assert config.head_width is not None
    sizes = channels(config)
    weights = sum(a * b for a, b in pairwise(sizes)) * kernel**2 + features * config.head_width
    if weights > MOST_WEIGHTS:
        raise ConfigError(
            f"model.width: {config.name} would have about {weights:,} weights, but {MOST_WEIGHTS:,}"
            " are the most; take less width, growth or head_width, or pool more"
        )


def head(config: ModelConfig, features: int, n_classes: int) -> list[nn.Module]:
    """Return dropout, a hidden layer of ``head_width`` units if that is not 0, and the logits."""
    assert config.activation is not None and config.dropout is not None
    layers: list[nn.Module] = [Dropout(config.dropout)] if config.dropout else []
    if config.head_width:
        layers += [nn.Linear(features, config.head_width), ACTIVATIONS[config.activation]()]
        features = config.head_width
        if config.dropout:
            layers.append(Dropout(config.dropout))
    return [*layers, nn.Linear(features, n_classes)]


def pair_encoder(config: ModelConfig, images: Images, *, pools: int) -> list[nn.Module]:
    """Return the convolutions of the models that compare images.

    The first sees 5 x 5 pixels, the others 3 x 3; all keep the image's size, have biases, and are
    followed by a batch norm and the activation, the first ``pools`` of them by a 2 x 2 max pooling.
    """
    assert config.activation is not None
    layers: list[nn.Module] = []
    inputs = images.channels
    for i, outputs in enumerate(channels(config)):
        kernel = 3 if i else 5
        layers += [
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
            nn.BatchNorm2d(outputs),
        ]
        if i < pools:
            layers += with_pooling(config.activation, nn.MaxPool2d(2))
        else:
            layers.append(ACTIVATIONS[config.activation]())
        inputs = outputs
    return layers
