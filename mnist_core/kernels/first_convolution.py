"""A convolution of images of one channel in bf16 on a CPU: the weights' gradient by machine code.

Torch's takes up to twice as long: oneDNN's tiles are made for many channels. The output is torch's.
"""

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core.kernels import choice, denormals, torch_parts

if TYPE_CHECKING:  # llvmlite may be missing
    from mnist_core.kernels.machine_code import Kernel

_WIDTH = 16  # channels, see conv_gradient_code
_SIDES = (3, 5)
_COLUMNS = 32  # of a tile; a longer row is added up in parts
_FEW = 4096  # pixels; with fewer, torch is as fast


def takes(images: Tensor, layer: nn.Module) -> bool:
    """Return whether ``convolve`` can be called with ``images`` and ``layer``."""
    return (
        type(layer) is nn.Conv2d
        and torch.is_grad_enabled()
        and images.device.type == "cpu"
        and images.dtype is torch.bfloat16
        and not images.requires_grad
        and images.ndim == 4
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and not torch_parts.has_hooks(layer)
        and _is_usual(layer)
        and torch_parts.is_plain(images)
        and _is_large(images, layer)
        and images.shape[0] % torch.get_num_threads() == 0
        and not why_not(images.shape, layer.out_channels, layer.kernel_size[0], _padding(layer))
    )


def why_not(shape: torch.Size, channels: int, side: int, padding: int) -> str:
    """Return why torch computes the gradients of such weights; "": it does not have to."""
    return choice.why_torch() or _fault(shape, channels, side, padding, torch.get_num_threads())


def convolve(images: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return the output of ``layer``; both are those that ``takes`` accepts."""
    return _Convolution.apply(images, layer.weight, layer.bias, _padding(layer))  # type: ignore[no-any-return]


def _is_usual(layer: nn.Conv2d) -> bool:
    parameters = (layer.weight, layer.bias)
    return (
        layer.in_channels == layer.groups == 1
        and layer.out_channels % _WIDTH == 0
        and layer.kernel_size in {(side, side) for side in _SIDES}
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
        and layer.padding[0] == layer.padding[1]
        and all(
            value is not None
            and value.dtype is torch.float32
            and value.device.type == "cpu"
            and value.requires_grad
            for value in parameters
        )
    )


def _padding(layer: nn.Conv2d) -> int:
    return int(layer.padding[0])


def _is_large(images: Tensor, layer: nn.Conv2d) -> bool:
    n, _, rows, columns = images.shape
    less = 2 * _padding(layer) - layer.kernel_size[0] + 1
    rows, columns = rows + less, columns + less
    return min(rows, columns) > 1 and columns <= _COLUMNS and n * rows * columns >= _FEW


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        """Keep the images."""
        ctx.save_for_backward(images, weight, bias)
        ctx.padding = padding
        return functional.conv2d(images, weight.bfloat16(), bias.bfloat16(), padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the weights and the bias."""
        images, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradients
            output = functional.conv2d(
                images, weight.bfloat16(), bias.bfloat16(), padding=ctx.padding
            )
            found = torch.autograd.grad(output, (weight, bias), gradient, create_graph=True)
            return None, *found, None
        weights, biases = _gradients(images, gradient, weight.shape, ctx.padding)
        own = torch.empty_like(weight).copy_(weights.bfloat16())
        return None, own, biases.bfloat16().float(), None


def _gradients(
    images: Tensor, gradient: Tensor, shape: torch.Size, padding: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of weights of ``shape`` and of the bias before they are rounded."""
    channels, _, side, _ = shape
    pixels = functional.pad(images.float(), (padding,) * 4).contiguous()
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    parts = torch.get_num_threads()  # of each the sums are its own, in oneDNN as here
    weights, bias = torch.zeros(parts, side * side, channels), torch.zeros(parts, channels)
    n, _, rows, columns = gradient.shape
    # In the order of conv_gradient_code.Argument.
    addresses = (one.data_ptr() for one in (pixels, gradient, weights, bias))
    sizes = (parts, n // parts, rows, columns, channels, *pixels.shape[2:])
    arguments = (ctypes.c_int64 * 12)(0, *sizes, *addresses)
    with denormals.flushed():  # as AMX does
        torch_parts.run(_kernel(side), arguments, parts=parts)
    return _total(weights).T.reshape(shape), _total(bias)


def _total(parts: Tensor) -> Tensor:
    """Return the sum over the parts, in their order."""
    total = parts[0]
    for one in parts[1:]:
        total = total + one
    return total


@cache
def _kernel(side: int) -> "Kernel":
    from mnist_core.kernels import conv_gradient_code, machine_code

    return machine_code.compiled(conv_gradient_code.weights(side))


@cache
def _fault(shape: torch.Size, channels: int, side: int, padding: int, threads: int) -> str:
    """Return why the kernel cannot be made, or that it differs from this torch; else ""."""
    return choice.fault(lambda: _agrees(shape, channels, side, padding))


def _agrees(shape: torch.Size, channels: int, side: int, padding: int) -> bool:
    """Return whether kernel and torch compute the same of an example of this very size."""
    with torch.inference_mode(False), torch.no_grad():
        n, _, rows, columns = shape
        source = torch.Generator().manual_seed(0)
        less = 2 * padding - side + 1
        sizes = {"images": (1, rows, columns), "slopes": (channels, rows + less, columns + less)}
        # The second half takes away what the first adds: what is left are errors of rounding,
        # which differ as soon as the order of the sums does.
        half = {k: torch.randn(n - n // 2, *size, generator=source) for k, size in sizes.items()}
        images = torch.cat([half["images"], half["images"][: n // 2]])
        slopes = torch.cat([half["slopes"], -half["slopes"][: n // 2]])
        images, slopes = (
            one.bfloat16().contiguous(memory_format=torch.channels_last) for one in (images, slopes)
        )
        weight = torch.zeros(channels, 1, side, side, dtype=torch.bfloat16)
        weight = weight.contiguous(memory_format=torch.channels_last)
        _, *theirs = torch.ops.aten.convolution_backward(
            slopes, images, weight, [channels], [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1,
            [False, True, True],
        )  # fmt: skip
        ours = _gradients(images, slopes, weight.shape, padding)
    return all(torch.equal(a.bfloat16(), b) for a, b in zip(ours, theirs, strict=True))
