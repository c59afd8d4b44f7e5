"""Layers that compute the same as torch's for less; their times are in docs/log.md."""

import torch
from torch import Tensor, nn

from mnist_core.config import Activation

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


class Crop(nn.Module):
    """Keep the upper left ``size`` x ``size`` pixels of every image."""

    # A convolution without padding and a 2 x 2 pooling of an odd side leave out the last row and
    # column; what only those depend on need not be computed at all, and the result stays the same.
    # For net (28 -> 26 -> 13 -> 11 -> 5: two rows of the image reach no output) this saves 17 % of
    # its second convolution.

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Return ``[N, C, size, size]``, a view."""
        return images[..., : self.size, : self.size]

    def extra_repr(self) -> str:
        """Say the size."""
        return str(self.size)


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
        n = values.numel()
        words = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[:n].view(values.shape)
        kept = bits >= round(self.p * 65_536) - 32_768
        return (values * kept.to(values.dtype)).mul_(1 / (1 - self.p))


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


class PairModel(nn.Module):
    """Two images in, one logit out: ``embed`` both, then ``compare``."""

    def embed(self, images: Tensor) -> Tensor:
        """Turn normalised images ``[N, 1, 28, 28]`` into ``[N, D]``, D the ``embedding``."""
        raise NotImplementedError

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Turn the embeddings ``[N, D]`` of the two images into logits ``[N]``."""
        raise NotImplementedError

    def forward(self, pairs: Tensor) -> Tensor:
        """Turn pairs of normalised images ``[N, 2, 28, 28]`` into logits ``[N]``."""
        # Both through the encoder in one batch: larger products, and the batch norm sees all.
        embeddings = self.embed(pairs.flatten(0, 1).unsqueeze(1))
        return self.compare(embeddings[0::2], embeddings[1::2])
