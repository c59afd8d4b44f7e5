"""Denormal numbers, below 1.2e-38 in fp32, taken for 0: a processor takes 100 times as long."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mnist_core.kernels import choice, torch_parts

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel


@contextmanager
def flushed() -> Iterator[None]:
    """Have this thread, and where it can be done torch's others, take denormal numbers for 0."""
    if (_denormals(1) * 1.0).item() == 0.0 or not _flush(True):
        yield
        return
    try:
        yield
    finally:
        _flush(False)


def why_not() -> str:
    """Return why torch's other threads compute with denormal numbers; "": they do not have to."""
    return choice.why_torch() or _fault()


def _flush(on: bool) -> bool:
    """Return whether this thread's processor can do it, and do it."""
    # Asked first: the check makes denormal numbers, and sets all threads.
    others = torch.get_num_threads() > 1 and not why_not()
    possible = torch.set_flush_denormal(on)
    if possible and others:
        _run(on)
    return possible


def _run(on: bool) -> None:
    # torch sets the calling thread only. The first element is one that each thread may write to.
    arguments = (ctypes.c_int64 * 2)(0, on)
    torch_parts.run(_kernel(), arguments, parts=torch.get_num_threads())


@cache
def _kernel() -> "Kernel":
    from mnist_core.kernels import denormals_code, machine_code

    return machine_code.compiled(denormals_code.flush())


@cache
def _fault() -> str:
    return choice.fault(_agrees)


def _agrees() -> bool:
    """Return whether the kernel does on all threads what torch does on this one."""
    n = 1 << 17  # enough for torch to use several threads
    _denormals(n)  # made as what they are
    _run(True)
    on = _are_flushed(n)
    _run(False)
    return on and not _are_flushed(n)


def _are_flushed(n: int) -> bool:
    return not (_denormals(n) * 1.0).view(torch.int32).any()


@cache
def _denormals(n: int) -> Tensor:
    return torch.full((n,), 1e-39)
