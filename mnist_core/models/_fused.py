"""Layers in a row, of which some are computed together (``mnist_core/kernels``)."""

import torch
from torch import Tensor, nn

from mnist_core.kernels import batch_norm, max_pool, torch_parts
from mnist_core.kernels.batch_norm import Behind


class FusedSequential(nn.Sequential):
    """``nn.Sequential`` that computes a batch norm, a 2 x 2 max pooling and a ReLU in one pass."""

    # The layers stay torch's own: names in checkpoints, summaries and exports are the usual ones.

    fused = True
    """Whether it does; False: each layer by itself."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the output of the last layer."""
        if not self.fused or torch.compiler.is_compiling():
            return super().forward(input)  # type: ignore[no-any-return, no-untyped-call]
        values, layers = input, list(self)
        while layers:
            layer = layers.pop(0)
            behind = _behind(layers)
            if type(layer) is nn.BatchNorm2d and batch_norm.takes(values, layer, behind):
                values = batch_norm.norm(values, layer, behind)
                del layers[: behind.pool + behind.relu]
                continue
            relu = bool(layers) and _is_relu(layers[0])
            if _is_pooling(layer) and max_pool.takes(values, relu=relu):
                values = max_pool.pool(values, relu=relu)
                del layers[:relu]
            else:
                values = layer(values)
        return values


def _behind(layers: list[nn.Module]) -> Behind:
    """Return what of ``layers`` is computed together with a norm before them."""
    pool = bool(layers) and _is_pooling(layers[0])
    following = layers[1:] if pool else layers
    return Behind(pool, bool(following) and _is_relu(following[0]))


def _is_pooling(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.MaxPool2d
        and layer.kernel_size in (2, (2, 2))
        and layer.stride in (2, (2, 2))
        and layer.padding in (0, (0, 0))
        and layer.dilation in (1, (1, 1))
        and not layer.ceil_mode
        and not layer.return_indices
        and not torch_parts.has_hooks(layer)
    )


def _is_relu(layer: nn.Module) -> bool:
    return type(layer) is nn.ReLU and not torch_parts.has_hooks(layer)
