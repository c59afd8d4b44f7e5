"""Dropout on a CPU by machine code: the random numbers and results of torch's operations."""

import struct
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mnist_core.kernels import choice, flat, random_words, torch_parts
from mnist_core.kernels.formats import BLOCK, FORMATS, Format

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel

# fp16 would need functions that LLVM looks for in the process on processors without it.
_FORMATS: dict[torch.dtype, Format] = {
    getattr(torch, name): FORMATS[name] for name in ("bfloat16", "float32", "float64")
}


def drop(values: Tensor, p: float) -> Tensor:
    """Return ``values`` with a fraction ``p`` of them 0 and the others times 1 / (1 - p)."""
    if takes(values, p):
        return _drop(values, p, torch.default_generator)
    return by_torch(values, p)


def by_torch(values: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Return the same by torch's operations; None: drawn from torch's own generator."""
    n = values.numel()
    words = torch.empty(-(-n // 4), dtype=torch.int64)
    bits = words.random_(-(2**63), None, generator=generator).view(torch.int16)
    kept = bits[:n].view(values.shape) >= _threshold(p)
    return (values * kept.to(values.dtype)).mul_(1 / (1 - p))


def why_not(dtype: torch.dtype = torch.float32) -> str:
    """Return why torch drops such values on a CPU; "": it does not have to."""
    return choice.why_torch() or _fault(dtype)


def takes(values: Tensor, p: float) -> bool:
    """Return whether our machine code can do it."""
    return (
        values.device.type == "cpu"
        and values.dtype in _FORMATS
        and values.numel() > 0
        and values.numel() % BLOCK == 0
        and _threshold(p) < 32_768
        and torch_parts.is_plain(values)
        and values.is_contiguous()
        and not why_not(values.dtype)
    )


def _threshold(p: float) -> int:
    return round(p * 65_536) - 32_768


def _drop(values: Tensor, p: float, generator: torch.Generator) -> Tensor:
    if torch.is_grad_enabled() and values.requires_grad:
        return _Drop.apply(values, p, generator)  # type: ignore[no-any-return]
    return _forward(values, p, generator)[0]


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float, generator: torch.Generator) -> Tensor:
        """Keep one bit a value, where torch keeps a number."""
        dropped, kept = _forward(values, p, generator)
        ctx.save_for_backward(kept)
        ctx.factor = 1 / (1 - p)
        return dropped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Drop the gradient where the values were dropped."""
        (kept,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient
            ones = flat.unpacked(kept).view(gradient.shape).to(gradient.dtype)
            return gradient * ctx.factor * ones, None, None
        gradient = gradient.contiguous()
        result = torch.empty_like(gradient)
        kernel = _kernel("backward", gradient.dtype)
        flat.run(kernel, gradient, result, kept, _double(ctx.factor))
        return result, None, None


def _forward(values: Tensor, p: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    result, kept = torch.empty_like(values), flat.bits_for(values)
    words, first = random_words.draw(values.numel() // 2, generator)
    # The order of dropout_code.Argument.
    own = (_double(1 / (1 - p)), words.data_ptr() + 4 * first, _threshold(p))
    flat.run(_kernel("forward", values.dtype), values, result, kept, *own)
    return result, kept


def _double(number: float) -> int:
    """Return the bits of ``number``."""
    return int.from_bytes(struct.pack("@d", number), sys.byteorder, signed=True)


@cache
def _kernel(name: str, dtype: torch.dtype) -> "Kernel":
    from mnist_core.kernels import dropout_code, machine_code

    return machine_code.compiled(getattr(dropout_code, name)(_FORMATS[dtype]))


@cache
def _fault(dtype: torch.dtype) -> str:
    """Return why the kernels cannot be made, or that they differ from this torch; else ""."""
    return choice.fault(lambda: _agrees(dtype))


def _agrees(dtype: torch.dtype) -> bool:
    """Return whether kernels and torch compute the same of a small example, and draw the same."""
    ours, theirs = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    if not random_words.knows(ours):
        return False
    with torch.inference_mode(False), torch.enable_grad():
        numbers = torch.tensor([-1.5, 0.0, 2.3, -0.0, 1e-6, float("nan"), float("-inf"), 1e38, 7.7])
        for n in (8, 2000, 3000):  # within a block of words, over its end, over several
            values = numbers.repeat(n // len(numbers) + 1)[:n].to(dtype).requires_grad_()
            gradient = values.detach().flip(0)
            dropped, expected = _drop(values, 0.3, ours), by_torch(values, 0.3, theirs)
            # Of a scalar: with the gradient as an argument, torch imports its compiler.
            (came,) = torch.autograd.grad((dropped * gradient).sum(), values)
            (wanted,) = torch.autograd.grad((expected * gradient).sum(), values)
            if not (choice.same(dropped, expected) and choice.same(came, wanted)):
                return False
    return torch.equal(ours.get_state(), theirs.get_state())
