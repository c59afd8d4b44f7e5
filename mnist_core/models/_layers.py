"""Layers that compute the same as torch's for less; their times are in docs/log.md."""

from typing import Literal

import torch
from torch import Tensor, nn

from mnist_core.config import Activation
from mnist_core.errors import ConfigError
from mnist_core.images import Images
from mnist_core.kernels import dropout

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
"""Torch's modules, all with torch's defaults (leaky_relu: slope 0.01; gelu: exact, by erf)."""

MONOTONIC: frozenset[Activation] = frozenset({"relu", "sigmoid", "tanh", "leaky_relu", "elu"})
"""Those f with max(f(x)) = f(max(x)). gelu and silu fall to a minimum left of 0 and rise again."""


Layers = tuple[int | Literal["pool"], ...]
"""What layers do to a side: a convolution takes that many pixels away, a 2 x 2 pooling halves."""


def after_layers(images: Images, layers: Layers) -> tuple[int, int]:
    """Return the rows and columns that ``layers`` leave."""
    sides = []
    for side in (images.rows, images.columns):
        for layer in layers:
            side = side // 2 if layer == "pool" else side - layer
        sides.append(side)
    return sides[0], sides[1]


def check_side(images: Images, least: int, model: str) -> None:
    """Raise ``ConfigError`` if the images have fewer than ``least`` rows or columns."""
    if images.side < least:
        raise ConfigError(
            f"model.name: {model} takes images of at least {least}x{least}, but these are {images};"
            " take flex_cnn or mlp512, or larger images (data.size)"
        )


class Crop(nn.Module):
    """Keep the upper left ``rows`` x ``columns`` pixels of every image."""

    # A convolution without padding and a 2 x 2 pooling of an odd side leave out the last row and
    # column; what only those depend on need not be computed at all, and the result stays the same.
    # For net (28 -> 26 -> 13 -> 11 -> 5: two rows of the image reach no output) this saves 17 % of
    # its second convolution.

    def __init__(self, rows: int, columns: int | None = None) -> None:
        super().__init__()
        self.rows, self.columns = rows, rows if columns is None else columns

    def forward(self, images: Tensor) -> Tensor:
        """Return ``[N, C, rows, columns]``, a view."""
        return images[..., : self.rows, : self.columns]

    def extra_repr(self) -> str:
        """Say the size."""
        square = self.rows == self.columns
        return str(self.rows) if square else f"{self.rows}, {self.columns}"


def crop_to_used(images: Images, layers: Layers) -> Crop:
    """Return the crop to the pixels on which the output of ``layers`` depends."""
    sides = list(after_layers(images, layers))
    for layer in reversed(layers):
        sides = [side * 2 if layer == "pool" else side + layer for side in sides]
    return Crop(*sides)


class Flatten(nn.Module):
    """Turn ``[N, C, H, W]`` into ``[N, H * W * C]``: the order in which channels-last lies."""

    # nn.Flatten puts the channels first, which copies every channels-last batch, and hands its
    # pooling a gradient of the other layout, with which it takes four times as long. For the linear
    # layer behind it only the order of its columns differs.

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``[N, H * W * C]``, a view of channels-last ``maps``."""
        return maps.permute(0, 2, 3, 1).flatten(1)


class Dropout(nn.Dropout):
    """Dropout that draws 16 random bits a value on a CPU, where torch draws at least 32."""

    # The fraction that is dropped is p to the nearest 1 / 65,536. The factor 1 / (1 - p) is applied
    # in fp32, whereas torch rounds it to the type of the values first: in bf16 to 1.336 for 1.333.

    def forward(self, values: Tensor) -> Tensor:
        """Return ``values`` with some of them 0, if training."""
        if not self.training or self.p in (0.0, 1.0) or values.device.type != "cpu":
            return super().forward(values)
        if torch.compiler.is_compiling():
            return dropout.by_torch(values, self.p)
        return dropout.drop(values, self.p)


class GlobalAverage(nn.Module):
    """Turn ``[N, C, H, W]`` into the means of the channels, ``[N, C]``."""

    # The gradient of torch's own global average pooling comes in another layout than channels-last;
    # the activation before it then takes six times as long.

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``[N, C]``."""
        return maps.permute(0, 2, 3, 1).flatten(1, 2).mean(dim=1)


def with_pooling(activation: Activation, pooling: nn.Module) -> list[nn.Module]:
    """Return an activation and the pooling behind it, in the order that costs least."""
    # A max pooling comes first where that is exact, with a monotonic activation, and leaves a
    # quarter of the values to apply it to. An average pooling never does.
    layers = [ACTIVATIONS[activation](), pooling]
    if isinstance(pooling, nn.MaxPool2d) and activation in MONOTONIC:
        layers.reverse()
    return layers


def single_images(pairs: Tensor) -> Tensor:
    """Turn pairs ``[N, 2, H, W]`` or ``[N, 2, C, H, W]`` into their images ``[2 * N, C, H, W]``."""
    images = pairs.flatten(0, 1)
    return images.unsqueeze(1) if images.ndim == 3 else images


class PairModel(nn.Module):
    """Two images in, one logit out: ``embed`` both, then ``compare``."""

    def embed(self, images: Tensor) -> Tensor:
        """Turn normalised images ``[N, C, H, W]`` into ``[N, D]``, D the ``embedding``."""
        raise NotImplementedError

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Turn the embeddings ``[N, D]`` of the two images into logits ``[N]``."""
        raise NotImplementedError

    def forward(self, pairs: Tensor) -> Tensor:
        """Turn pairs of normalised images ``[N, 2, (C,) H, W]`` into logits ``[N]``."""
        # Both through the encoder in one batch: larger products, and the batch norm sees all.
        embeddings = self.embed(single_images(pairs))
        return self.compare(embeddings[0::2], embeddings[1::2])
