"""2 x 2 max pooling, and a ReLU behind it, by machine code; the same numbers as torch's."""

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from mnist_core.kernels import choice, torch_parts
from mnist_core.kernels.formats import BLOCK, FORMATS, Format

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel

_FORMATS: dict[torch.dtype, Format] = {getattr(torch, name): one for name, one in FORMATS.items()}
_GRAIN = 32_768  # numbers; with fewer, torch uses one thread as well


def why_not(dtype: torch.dtype = torch.float32, *, relu: bool = True) -> str:
    """Return why torch pools such maps on a CPU; "": it does not have to."""
    return choice.why_torch() or _fault(dtype, relu)


def takes(maps: Tensor, *, relu: bool) -> bool:
    """Return whether ``pool`` can be called with ``maps``."""
    # torch's ReLU gives maps of one pixel other strides, by which the next layer may go its way.
    least = 4 if relu and max(maps.shape[2:], default=0) < 4 else 2
    return (
        maps.device.type == "cpu"
        and maps.dtype in _FORMATS
        and maps.ndim == 4
        and maps.shape[1] % BLOCK == 0
        and min(maps.shape[2:]) >= least
        and maps.numel() > 0
        and torch_parts.is_plain(maps)
        and maps.is_contiguous(memory_format=torch.channels_last)
        and not why_not(maps.dtype, relu=relu)
    )


def pool(maps: Tensor, *, relu: bool) -> Tensor:
    """Return what ``relu(max_pool2d(maps, 2))`` is, or ``max_pool2d(maps, 2)``.

    ``maps`` are those that ``takes`` accepts.
    """
    if torch.is_grad_enabled() and maps.requires_grad:
        return _Pool.apply(maps, relu)  # type: ignore[no-any-return]
    return _pooled(maps, None, relu=relu)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, relu: bool) -> Tensor:
        """Keep one byte a window, where torch keeps eight, and the maps as well."""
        places = _empty(_half(maps.shape), torch.uint8)
        ctx.save_for_backward(places)
        ctx.shape = maps.shape
        return _pooled(maps, places, relu=relu)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Hand the gradient to the winners."""
        (places,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient
            return _differentiable(gradient, places, ctx.shape), None
        return gradient_of(gradient, places, ctx.shape), None


def _pooled(maps: Tensor, places: Tensor | None, *, relu: bool) -> Tensor:
    pooled = _empty(_half(maps.shape), maps.dtype)
    _run(_forward(maps.dtype, relu), maps, pooled, places)
    return pooled


def gradient_of(gradient: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """Return the gradient of the maps from that of the result and the winners' places."""
    maps = _empty(shape, gradient.dtype)
    pooled = gradient.contiguous(memory_format=torch.channels_last)
    _run(_backward(_FORMATS[gradient.dtype].bits), maps, pooled, places)
    return maps


def _differentiable(gradient: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """Return what ``gradient_of`` returns, by operations that torch can differentiate."""
    maps = gradient.new_zeros(shape)
    rows, columns = (2 * side for side in places.shape[2:])
    for place in range(4):
        i, j = divmod(place, 2)
        maps[:, :, i:rows:2, j:columns:2] = torch.where(places == place, gradient, 0)
    return maps


def _run(kernel: "Kernel", maps: Tensor, pooled: Tensor, places: Tensor | None) -> None:
    n, channels, rows, columns = maps.shape
    addresses = (maps.data_ptr(), pooled.data_ptr(), 0 if places is None else places.data_ptr())
    # In the order of max_pool_code.Argument.
    arguments = (ctypes.c_int64 * 8)(0, n, rows, columns, channels, *addresses)
    torch_parts.run(kernel, arguments, parts=1 if maps.numel() < _GRAIN else n)


def _half(shape: torch.Size) -> tuple[int, int, int, int]:
    n, channels, rows, columns = shape
    return n, channels, rows // 2, columns // 2


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)


@cache
def _forward(dtype: torch.dtype, relu: bool) -> "Kernel":
    from mnist_core.kernels import machine_code, max_pool_code

    return machine_code.compiled(max_pool_code.forward(_FORMATS[dtype], relu=relu))


@cache
def _backward(bits: int) -> "Kernel":
    from mnist_core.kernels import machine_code, max_pool_code

    form = next(one for one in FORMATS.values() if one.bits == bits)
    return machine_code.compiled(max_pool_code.backward(form))


@cache
def _fault(dtype: torch.dtype, relu: bool) -> str:
    """Return why the kernels cannot be made, or that they differ from this torch; else ""."""
    return choice.fault(lambda: _agrees(dtype, relu=relu))


def _agrees(dtype: torch.dtype, *, relu: bool) -> bool:
    """Return whether kernels and torch compute the same of a small example: about 0.1 ms."""
    with torch.inference_mode(False), torch.enable_grad():
        # Ties, both zeros, NaN and infinity; odd sides; full vectors and a remainder of channels.
        numbers = torch.tensor([-1.5, 0.0, 2.0, -0.0, 2.0, float("nan"), 3.0, float("-inf"), 1e-6])
        n = 2 * 72 * 3 * 5
        maps = numbers.repeat(n // len(numbers) + 1)[:n].view(2, 72, 3, 5).to(dtype)
        maps = maps.contiguous(memory_format=torch.channels_last).requires_grad_()
        expected = functional.max_pool2d(maps, 2)
        expected = functional.relu(expected) if relu else expected
        gradient = torch.arange(expected.numel()).sub(50).view_as(expected).to(dtype)
        pooled = pool(maps, relu=relu)
        # Of a scalar: with the gradient as an argument, torch imports its compiler.
        (wanted,) = torch.autograd.grad((expected * gradient).sum(), maps)
        (came,) = torch.autograd.grad((pooled * gradient).sum(), maps)
    return choice.same(pooled, expected) and choice.same(came, wanted)
