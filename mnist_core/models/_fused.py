"""Layers in a row, of which some are computed together (``mnist_core/kernels``)."""

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core.kernels import adam, batch_norm, half_weights, max_pool, torch_parts
from mnist_core.kernels import relu as relu_kernel
from mnist_core.kernels.batch_norm import Behind


class FusedSequential(nn.Sequential):
    """``nn.Sequential`` that computes norm, pooling and ReLU together, other ReLUs in place."""

    # The layers stay torch's own: names in checkpoints, summaries and exports are the usual ones.

    fused = True
    """Whether it does; False: each layer by itself."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the output of the last layer."""
        if not self.fused or torch.compiler.is_compiling():
            return super().forward(input)  # type: ignore[no-any-return, no-untyped-call]
        return compute(input, list(self))


def compute(values: Tensor, layers: list[nn.Module]) -> Tensor:
    """Return what ``layers`` one after the other make of ``values``; the list is used up."""
    while layers:
        layer = layers.pop(0)
        behind = _behind(layers)
        if type(layer) is nn.BatchNorm2d and batch_norm.takes(values, layer, behind):
            values = batch_norm.norm(values, layer, behind)
            del layers[: behind.pool + behind.relu]
            continue
        relu = bool(layers) and is_relu(layers[0])
        if _is_pooling(layer) and max_pool.takes(values, relu=relu):
            values = max_pool.pool(values, relu=relu)
            del layers[:relu]
            continue
        values = _layer(layer, values)
        if relu and _is_between_convolutions(layer, layers[1:]) and relu_kernel.takes(values):
            values = relu_kernel.relu(values)
            del layers[0]
    return values


def _behind(layers: list[nn.Module]) -> Behind:
    """Return what of ``layers`` is computed together with a norm before them."""
    pool = bool(layers) and _is_pooling(layers[0])
    following = layers[1:] if pool else layers
    return Behind(pool, bool(following) and is_relu(following[0]))


def _layer(layer: nn.Module, values: Tensor) -> Tensor:
    if _is_linear(layer) and (weight := half_weights.of(layer)) is not None:
        return functional.linear(values, weight, layer.bias)
    return layer(values)  # type: ignore[no-any-return]


def _is_between_convolutions(before: nn.Module, behind: list[nn.Module]) -> bool:
    # A convolution does not need its result, and nothing else has the gradient that it hands back.
    return bool(behind) and all(
        type(layer) is nn.Conv2d and not torch_parts.has_hooks(layer)
        for layer in (before, behind[0])
    )


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


def keep_half_weights(
    model: nn.Module, optimizer: torch.optim.Optimizer, dtype: torch.dtype
) -> None:
    """Have the optimizer write copies in ``dtype``, if bf16, of the large weights that use them."""
    for layers in model.modules() if dtype is torch.bfloat16 else ():
        for layer in layers if isinstance(layers, FusedSequential) else ():
            if _is_linear(layer) and adam.keeps(layer.weight, optimizer):
                half_weights.keep(layer.weight)


def forget_half_weights(model: nn.Module) -> None:
    """Leave the weights as torch knows them: another optimizer may train them further."""
    half_weights.forget(model)


def _is_linear(layer: nn.Module) -> TypeGuard[nn.Linear]:
    return type(layer) is nn.Linear and not torch_parts.has_hooks(layer)


def is_relu(layer: nn.Module) -> bool:
    """Return whether ``layer`` is torch's ReLU, without a hook."""
    return type(layer) is nn.ReLU and not torch_parts.has_hooks(layer)
