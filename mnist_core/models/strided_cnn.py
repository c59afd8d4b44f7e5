"""``strided_cnn``: a network for trainings of seconds; its first convolution halves the image.

``depth`` convolutions (``_convolutions.channels``), each with a norm and the activation. The first
goes in steps of two pixels, so that no layer sees the image's full size; the others see 3 x 3
pixels, and a 2 x 2 pooling follows after the first ``pools`` of them. Then a hidden layer of
``head_width`` units, if any, and the logits.
"""

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images
from mnist_core.models._convolutions import channels, check_size, head, most_pools
from mnist_core.models._fused import FusedSequential
from mnist_core.models._layers import ACTIVATIONS, Flatten, with_pooling

OPTIONS = {
    "activation": "relu",
    "depth": 3,
    "width": 16,
    "growth": 2.0,
    "kernel": 5,
    "norm": "batch",
    "pools": None,
    "head_width": 0,
    "dropout": 0.0,
}

_GROUPS = 8  # divides every number of channels


def complete(config: ModelConfig) -> ModelConfig:
    """Fill in ``pools``, whose default follows from ``depth``."""
    if config.pools is not None:
        return config
    assert config.depth is not None
    return config.model_copy(update={"pools": min(2, config.depth - 1)})


def check(config: ModelConfig, images: Images = MNIST) -> None:
    """Check that the network can be built, or raise ``ConfigError``."""
    assert config.depth is not None and config.pools is not None
    if config.kernel not in (3, 5, 7):
        raise ConfigError(
            f"model.kernel: strided_cnn's first kernel is 3, 5 or 7, but got {config.kernel}"
        )
    most = min(config.depth - 1, most_pools(images) - 1)
    if config.pools > most:
        raise ConfigError(
            f"model.pools: {config.depth} convolutions on a side of {images.side} leave room for"
            f" at most {most} poolings, but got {config.pools}"
        )
    check_size(config, kernel=max(3, config.kernel), features=_features(config, images))


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build ``strided_cnn``."""
    assert config.activation is not None and config.kernel is not None
    assert config.pools is not None
    layers: list[nn.Module] = []
    inputs = images.channels
    for layer, outputs in enumerate(channels(config)):
        kernel, stride = (3, 1) if layer else (config.kernel, 2)
        bias = config.norm == "none"
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias))
        if config.norm == "batch":
            layers.append(nn.BatchNorm2d(outputs))
        elif config.norm == "group":
            layers.append(nn.GroupNorm(_GROUPS, outputs))
        if 0 < layer <= config.pools:
            layers += with_pooling(config.activation, nn.MaxPool2d(2))
        else:
            layers.append(ACTIVATIONS[config.activation]())
        inputs = outputs
    layers.append(Flatten())
    layers += head(config, _features(config, images), n_classes)
    return FusedSequential(*layers)


def _features(config: ModelConfig, images: Images) -> int:
    """Return the number of values behind the last convolution."""
    assert config.pools is not None
    rows, columns = ((side + 1) // 2 >> config.pools for side in (images.rows, images.columns))
    return channels(config)[-1] * rows * columns
