"""``flex_cnn``: a network whose every size can be searched; 290,282 parameters by default.

``depth`` times a convolution (``_convolutions.channels``), a norm and the activation; a 2 x 2
pooling after ``pools`` of them; then dropout, a hidden layer of ``head_width`` units, the logits.
With ``global_pool`` the head sees the mean of every channel instead of all its pixels.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images
from mnist_core.models._convolutions import channels, check_size, head, most_pools
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import ACTIVATIONS, Flatten, GlobalAverage, with_pooling

OPTIONS = {
    "activation": "relu",
    "depth": 4,
    "width": 32,
    "growth": 1.6,
    "kernel": 3,
    "norm": "batch",
    "pooling": "max",
    "pools": None,
    "global_pool": False,
    "head_width": 128,
    "dropout": 0.3,
}

_MOST_DEPTH = 5
_GROUPS = 8  # divides every number of channels


def complete(config: ModelConfig) -> ModelConfig:
    """Fill in ``pools``, whose default follows from ``depth``."""
    if config.pools is not None:
        return config
    assert config.depth is not None
    return config.model_copy(update={"pools": min(3, config.depth)})


def check(config: ModelConfig, images: Images = MNIST) -> None:
    """Check that the network can be built, or raise ``ConfigError``."""
    assert config.depth is not None and config.pools is not None
    if config.depth > _MOST_DEPTH:
        raise ConfigError(
            f"model.depth: flex_cnn has 1 to {_MOST_DEPTH} convolutions, but got {config.depth}"
        )
    if config.kernel not in (3, 5):
        raise ConfigError(
            f"model.kernel: flex_cnn has kernels of 3 or 5, but got {config.kernel}; an even one"
            " could not keep the size of the image"
        )
    if config.pools > config.depth:
        raise ConfigError(
            f"model.pools: {config.pools} poolings need as many layers, but model.depth is"
            f" {config.depth}"
        )
    if config.pools > most_pools(images):
        raise ConfigError(
            f"model.pools: a side of {images.side} can be halved {most_pools(images)} times, but"
            f" got {config.pools}"
        )
    check_size(config, kernel=config.kernel, features=_features(config, images))


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``flex_cnn``."""
    assert config.activation is not None and config.kernel is not None
    layers: list[nn.Module] = []
    pooled = _pooled_layers(config)
    inputs = images.channels
    for layer, outputs in enumerate(channels(config), start=1):
        layers.append(
            nn.Conv2d(
                inputs,
                outputs,
                config.kernel,
                padding=config.kernel // 2,
                bias=config.norm == "none",
            )
        )
        if config.norm == "batch":
            layers.append(nn.BatchNorm2d(outputs))
        elif config.norm == "group":
            layers.append(nn.GroupNorm(_GROUPS, outputs))
        if layer in pooled:
            pooling = nn.MaxPool2d(2) if config.pooling == "max" else nn.AvgPool2d(2)
            layers += with_pooling(config.activation, pooling)
        else:
            layers.append(ACTIVATIONS[config.activation]())
        inputs = outputs
    layers.append(GlobalAverage() if config.global_pool else Flatten())
    layers += head(config, _features(config, images), n_classes)
    return FusedSequential(*layers)


def _pooled_layers(config: ModelConfig) -> set[int]:
    """Return which layers, counted from 1, are followed by a pooling."""
    # Spread evenly up to the last, rather early, because the layers before the first pooling cost
    # most: 1, 2 and 4 of 4 with 3 pools; 2 and 5 of 5 with 2.
    assert config.depth is not None and config.pools is not None
    return {k * config.depth // config.pools for k in range(1, config.pools + 1)}


def _features(config: ModelConfig, images: Images) -> int:
    assert config.pools is not None
    pixels = (images.rows >> config.pools) * (images.columns >> config.pools)
    return channels(config)[-1] * (1 if config.global_pool else pixels)
