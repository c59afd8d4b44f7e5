"""LLVM's code made machine code for this processor, in about 20 ms a kernel (llvmlite)."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding


@dataclass(frozen=True, eq=False)
class Kernel:
    """A function of one array of int64.

    Attributes:
        address: where its code lies.
        call: calls it in this thread, without Python's lock.
        owner: LLVM's engine, with which the code is freed.
    """

    address: int
    call: Any
    owner: Any


def compiled(code: str) -> Kernel:
    """Return the function ``kernel`` of ``code``; RuntimeError: LLVM refuses it."""
    machine = _target().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=_features(), opt=2
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(code), machine)
    engine.finalize_object()
    address = engine.get_function_address("kernel")
    return Kernel(address, ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address), engine)


@cache
def _target() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_triple(binding.get_process_triple())


def _features() -> str:
    try:
        return str(binding.get_host_cpu_features().flatten())
    except RuntimeError:  # unknown to LLVM: what every processor of its name has
        return ""
