"""LLVM's code that has a thread of an x86 processor take denormal numbers for 0, or not."""

from enum import IntEnum, auto

from llvmlite import binding, ir

from mnist_core.kernels.code import LONG, Code

_WORD = ir.IntType(32)
_BITS = 0x8040  # of MXCSR: results and operands that are denormal are 0


class Argument(IntEnum):
    """Positions in the array of int64 that the kernel is called with."""

    NEXT = 0
    ON = auto()


def flush() -> str:
    """Return the code of ``kernel``; RuntimeError: this is not an x86 processor."""
    if not binding.get_process_triple().startswith("x86_64"):
        raise RuntimeError("denormal numbers can be flushed on x86 only")
    code = Code()
    build = code.build
    place = build.alloca(_WORD)
    pointer = build.bitcast(place, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type])
    module = build.module
    store, load = (
        ir.Function(module, kind, f"llvm.x86.sse.{name}") for name in ("stmxcsr", "ldmxcsr")
    )
    build.call(store, [pointer])
    before = build.load(place)
    is_on = build.icmp_signed("!=", code.argument(Argument.ON), LONG(0))
    on, off = build.or_(before, _WORD(_BITS)), build.and_(before, _WORD(~_BITS & 0xFFFF_FFFF))
    build.store(build.select(is_on, on, off), place)
    build.call(load, [pointer])
    return code.text()
