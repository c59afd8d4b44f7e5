"""A ReLU in place on a CPU by machine code, whose gradient is made in place as well."""

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from mnist_core.kernels import choice, flat, torch_parts
from mnist_core.kernels.formats import BLOCK, FORMATS, Format

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel

_FORMATS: dict[torch.dtype, Format] = {getattr(torch, name): one for name, one in FORMATS.items()}


def why_not(dtype: torch.dtype = torch.float32) -> str:
    """Return why torch computes it on a CPU; "": it does not have to."""
    return choice.why_torch() or _fault(dtype)


def takes(maps: Tensor) -> bool:
    """Return whether ``relu`` can be called with ``maps``."""
    return (
        maps.device.type == "cpu"
        and maps.dtype in _FORMATS
        and maps.ndim == 4
        # With one channel or one pixel torch may give the result other strides.
        and maps.shape[1] % BLOCK == 0
        and min(maps.shape[2:]) > 1
        and maps.numel() > 0
        and torch_parts.is_plain(maps)
        and maps.is_contiguous(memory_format=torch.channels_last)
        and not why_not(maps.dtype)
    )


def relu(maps: Tensor) -> Tensor:
    """Make ``maps`` their ReLU; the layer behind it must hand its gradient to nothing else.

    ``maps`` are those that ``takes`` accepts, and nothing else needs them.
    """
    if torch.is_grad_enabled() and maps.requires_grad:
        return _Relu.apply(maps)  # type: ignore[no-any-return]
    _forward(maps)
    return maps


class _Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """Keep one bit a number, where torch keeps the result."""
        ctx.save_for_backward(_forward(maps))
        ctx.mark_dirty(maps)
        return maps

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Stop the gradient where the ReLU was off."""
        (passed,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient
            return torch.where(by_place(passed, gradient), gradient, 0)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        flat.run(_kernel("backward", gradient.dtype), gradient, gradient, passed)
        return gradient


def _forward(maps: Tensor) -> Tensor:
    passed = flat.bits_for(maps)
    flat.run(_kernel("forward", maps.dtype), maps, maps, passed)
    return passed


def by_place(bits: Tensor, maps: Tensor) -> Tensor:
    """Return the bits of channels-last ``maps`` as booleans of their shape."""
    n, channels, rows, columns = maps.shape
    return flat.unpacked(bits).view(n, rows, columns, channels).permute(0, 3, 1, 2)


@cache
def _kernel(name: str, dtype: torch.dtype) -> "Kernel":
    from mnist_core.kernels import machine_code, relu_code

    return machine_code.compiled(getattr(relu_code, name)(_FORMATS[dtype]))


@cache
def _fault(dtype: torch.dtype) -> str:
    """Return why the kernels cannot be made, or that they differ from this torch; else ""."""
    return choice.fault(lambda: _agrees(dtype))


def _agrees(dtype: torch.dtype) -> bool:
    """Return whether kernels and torch compute the same of a small example."""
    with torch.inference_mode(False), torch.enable_grad():
        numbers = torch.tensor([-1.5, 0.0, 2.3, -0.0, 1e-6, float("nan"), float("-inf"), 9.0, -7.7])
        maps = numbers.repeat(2 * 8 * 5)[: 2 * 8 * 3 * 5].view(2, 3, 5, 8).to(dtype)
        maps = maps.permute(0, 3, 1, 2).requires_grad_()
        expected = functional.relu(maps)
        ours = relu(maps * 1)
        # The product hands a gradient of its own to the ReLU. Of a scalar: with the gradient as an
        # argument, torch imports its compiler.
        gradient = maps.detach().flip(0)
        (wanted,) = torch.autograd.grad((expected * gradient).sum(), maps)
        (came,) = torch.autograd.grad((ours * gradient).sum(), maps)
    return choice.same(ours, expected) and choice.same(came, wanted)
