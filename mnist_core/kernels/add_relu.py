"""A sum and the ReLU behind it on a CPU in one pass of machine code; torch's own numbers.

Torch goes over the maps twice, and keeps the result for the gradient, of which a bit is enough.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from mnist_core.kernels import choice, flat, relu, torch_parts
from mnist_core.kernels.formats import FORMATS, Format

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel

_FORMATS: dict[torch.dtype, Format] = {
    torch.bfloat16: FORMATS["bfloat16"],
    torch.float32: FORMATS["float32"],
}


def why_not(dtype: torch.dtype = torch.float32) -> str:
    """Return why torch computes it on a CPU; "": it does not have to."""
    return choice.why_torch() or _fault(dtype)


def takes(maps: Tensor, added: Tensor) -> bool:
    """Return whether ``add_relu`` can be called with ``maps`` and ``added``."""
    return (
        maps.dtype in _FORMATS
        and maps.dtype is added.dtype
        and maps.shape == added.shape
        and relu.takes(maps)
        and torch_parts.is_plain(added)
        and added.is_contiguous(memory_format=torch.channels_last)
        and maps.data_ptr() != added.data_ptr()
        and not why_not(maps.dtype)
    )


def add_relu(maps: Tensor, added: Tensor) -> Tensor:
    """Make ``maps`` the ReLU of their sum with ``added``.

    Both are those that ``takes`` accepts, and nothing else needs ``maps``.
    """
    if torch.is_grad_enabled() and (maps.requires_grad or added.requires_grad):
        return _AddRelu.apply(maps, added)  # type: ignore[no-any-return]
    _forward(maps, added)
    return maps


class _AddRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, added: Tensor) -> Tensor:
        """Keep one bit a number, where torch keeps the result."""
        ctx.save_for_backward(_forward(maps, added))
        ctx.mark_dirty(maps)
        return maps

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Stop the gradient where the ReLU was off; both summands get the same."""
        (passed,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient
            gradient = torch.where(relu.by_place(passed, gradient), gradient, 0)
        elif gradient.is_contiguous(memory_format=torch.channels_last):
            stopped = torch.empty_like(gradient)
            flat.run(_kernel("backward", gradient.dtype), gradient, stopped, passed)
            gradient = stopped
        else:  # by how it lies, torch decides how what it returns lies, and so the sums before it
            result = relu.by_place(passed, gradient).to(gradient.dtype)
            gradient = torch.ops.aten.threshold_backward(gradient, result, 0)
        return gradient, gradient


def _forward(maps: Tensor, added: Tensor) -> Tensor:
    passed = flat.bits_for(maps)
    flat.run(_kernel("forward_of_sum", maps.dtype), maps, maps, passed, added.data_ptr())
    return passed


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
        # Sums that are rounded, ties among them; both zeros; NaN and infinity.
        numbers = torch.tensor([-1.5, 0.0, 2.3, -0.0, 1e-6, float("nan"), float("-inf"), 9.0, -7.7])
        n = 2 * 8 * 3 * 5
        maps = numbers.repeat(n)[:n].view(2, 3, 5, 8).to(dtype).permute(0, 3, 1, 2)
        added = numbers.flip(0).repeat(n)[4 : n + 4].view(2, 3, 5, 8).to(dtype).permute(0, 3, 1, 2)
        added = (added * torch.linspace(0.9, 1.1, 8).view(8, 1, 1).to(dtype)).requires_grad_()
        maps.requires_grad_()
        expected = functional.relu(maps + added)
        ours = add_relu(maps * 1, added)
        gradient = maps.detach().flip(0)
        # Of a scalar: with the gradient as an argument, torch imports its compiler.
        wanted = torch.autograd.grad((expected * gradient).sum(), (maps, added))
        came = torch.autograd.grad((ours * gradient).sum(), (maps, added))
    pairs = ((ours, expected), *zip(came, wanted, strict=True))
    return all(choice.same(a, b) for a, b in pairs)
