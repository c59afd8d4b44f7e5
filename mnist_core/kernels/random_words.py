"""The random numbers of torch's generators of the CPU, drawn by machine code of our own."""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mnist_core.kernels.formats import STATE

_BYTES = 5056  # of a generator's state


def knows(generator: torch.Generator) -> bool:
    """Return whether the generator's state has the size of the known one."""
    return generator.get_state().numel() == _BYTES


def draw(n: int, generator: torch.Generator) -> tuple[Tensor, int]:
    """Return words before they are tempered, and the position of the first of ``n`` drawn ones."""
    state = generator.get_state()
    address = state.data_ptr()
    first = STATE + 1 - ctypes.c_int32.from_address(address + 8).value
    blocks = (first + n - 1) // STATE
    words = torch.empty((blocks + 1) * STATE, dtype=torch.int32)
    following = first + n - blocks * STATE
    arguments = (ctypes.c_int64 * 4)(address, words.data_ptr(), blocks, following)
    _drawing()(arguments)
    generator.set_state(state)
    return words, first


@cache
def _drawing() -> Any:
    from mnist_core.kernels import machine_code, random_words_code

    kernel = machine_code.compiled(random_words_code.draw())
    # With Python's lock: no other thread may draw before the state is written back.
    call = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(kernel.address)
    return lambda arguments, _owner=kernel: call(arguments)
