"""Calls of the kernels over numbers in a row (``flat_code``)."""

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mnist_core.kernels import torch_parts
from mnist_core.kernels.formats import BLOCK, PART

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel

_GRAIN = 32_768  # numbers; with fewer, torch uses one thread as well


def run(kernel: "Kernel", values: Tensor, result: Tensor, bits: Tensor, *own: int) -> None:
    """Run ``kernel`` on dense ``values``; ``own``: its arguments behind the common ones."""
    n = values.numel()
    parts = -(-n // PART)
    addresses = (values.data_ptr(), result.data_ptr(), bits.data_ptr())
    # In the order of flat_code.Argument.
    arguments = (ctypes.c_int64 * (6 + len(own)))(0, parts, n, *addresses, *own)
    torch_parts.run(kernel, arguments, parts=1 if n < _GRAIN else parts)


def bits_for(values: Tensor) -> Tensor:
    """Return memory for a bit a number, of which there are a multiple of ``BLOCK``."""
    return torch.empty(values.numel() // BLOCK, dtype=torch.uint8)


def unpacked(bits: Tensor) -> Tensor:
    """Return the bits as booleans, in the order in which the numbers lie."""
    return bits.unsqueeze(1).bitwise_right_shift(torch.arange(8)).bitwise_and(1).flatten().bool()
