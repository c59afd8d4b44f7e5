"""torchvision's classifiers by name, e.g. ``torchvision:mobilenet_v3_small``.

Their first weights are random, drawn as torchvision draws them; nothing is downloaded.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models as torchvision_models  # type: ignore[import-untyped]

from mnist_core.errors import ConfigError, unknown_name
from mnist_core.images import MNIST, Images
from mnist_core.table import Table

_ARGUMENTS: dict[str, dict[str, Any]] = {
    # Without them, training returns a tuple, and the first weights take a minute to draw.
    name: {"aux_logits": False, "init_weights": True}
    for name in ("googlenet", "inception_v3")
}


class Size(Table):
    """Options of all of them."""

    size: int = Field(
        0, ge=0, le=512, description="pixels a side that images are resized to; 0: as they are"
    )


@dataclass(frozen=True)
class Member:
    """One of torchvision's classifiers, as ``mnist_core.models`` takes a model's file."""

    name: str
    Options: ClassVar = Size

    def build(self, options: Size, n_classes: int, images: Images = MNIST) -> nn.Module:
        """Build the network.

        Raises:
            ConfigError: if it cannot take images of this size.
        """
        channels, rows, columns = images.shape
        if options.size:
            rows = columns = options.size
        try:
            network = self._network(n_classes, rows, columns)
            _take_channels(network, channels)
            with torch.no_grad():
                network.eval()(torch.zeros(1, channels, rows, columns))
        except (AssertionError, RuntimeError, ValueError) as error:
            if "memory" in str(error):
                raise
            said = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(
                f"model.size: torchvision:{self.name} cannot take images of {rows}x{columns}"
                f" ({said}); set another size that they are resized to, e.g. model.size="
                f"{64 if rows < 64 else 224}"
            ) from error
        network.train()
        return nn.Sequential(Resize(options.size), network) if options.size else network

    def _network(self, n_classes: int, rows: int, columns: int) -> nn.Module:
        given = dict(_ARGUMENTS.get(self.name, {}))
        if self.name.startswith("vit_"):
            given["image_size"] = rows
        elif self.name.startswith("maxvit"):
            given["input_size"] = (rows, columns)
        made: nn.Module = torchvision_models.get_model(
            self.name, weights=None, num_classes=n_classes, **given
        )
        return made


class Resize(nn.Module):
    """Resize images to ``size`` pixels a side."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Return ``[N, C, size, size]``."""
        return functional.interpolate(images, (self.size, self.size), mode="bilinear")

    def extra_repr(self) -> str:
        """Say the size."""
        return str(self.size)


def names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    return list(torchvision_models.list_models(module=torchvision_models))


def member(name: str) -> Member:
    """Return the classifier ``name``; raise ConfigError if torchvision has none of this name."""
    if name not in names():
        raise ConfigError(f"model.name: {unknown_name('model of torchvision', name, names())}")
    return Member(name)


def _take_channels(network: nn.Module, channels: int) -> None:
    """Have ``network`` take grey images: it computes what it would of three equal channels."""
    if channels == 3:
        return
    first = next(one for one in network.modules() if isinstance(one, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    first.in_channels = 1
