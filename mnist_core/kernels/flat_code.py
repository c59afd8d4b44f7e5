"""LLVM's code of a kernel over numbers in a row, with a bit for each that the gradient needs."""

from collections.abc import Iterator
from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import BYTE, LONG, Code
from mnist_core.kernels.formats import BLOCK, PART, Format


class Argument(IntEnum):
    """Arguments of every such kernel; its own follow."""

    NEXT = 0  # part that no thread has taken
    PARTS = auto()
    NUMBERS = auto()  # a multiple of BLOCK
    VALUES = auto()  # address of what comes, numbers or gradient
    RESULT = auto()  # address of what goes; that of VALUES: in place
    BITS = auto()  # address of a bit a number


class FlatCode(Code):
    """A kernel over numbers in a row under construction."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self.form = form
        self.element = ir.IntType(form.bits)
        self.values, self.result = (
            self.address(which, self.element) for which in (Argument.VALUES, Argument.RESULT)
        )
        self._bits = self.address(Argument.BITS, BYTE)

    def vectors(self) -> Iterator[tuple[Any, int]]:
        """Emit the loops over the numbers; yield the inside of each: a place and a width."""
        numbers, parts = self.argument(Argument.NUMBERS), self.argument(Argument.PARTS)
        return vectors(self, numbers, parts, (4 * BLOCK, BLOCK))

    def note(self, bits: Any, place: Any) -> None:
        """Emit the store of the bits of some numbers."""
        kind = ir.IntType(bits.type.count)
        stored = self.build.store(self.build.bitcast(bits, kind), self._noted(place, kind))
        stored.align = 1

    def noted(self, place: Any, width: int) -> Any:
        """Emit the load of the bits of some numbers."""
        loaded = self.build.load(self._noted(place, ir.IntType(width)))
        loaded.align = 1
        return self.build.bitcast(loaded, ir.VectorType(ir.IntType(1), width))

    def _noted(self, place: Any, kind: Any) -> Any:
        there = self.build.gep(self._bits, [self.build.lshr(place, LONG(3))])
        return self.build.bitcast(there, kind.as_pointer())


def vectors(
    code: Code, numbers: Any, parts: Any, widths: tuple[int, ...]
) -> Iterator[tuple[Any, int]]:
    """Emit loops over parts of a row of numbers; the last width is one that divides their count."""
    build = code.build
    with code.each_part(parts) as part:
        start = build.mul(part, LONG(PART))
        stop = build.add(start, LONG(PART))
        stop = build.select(build.icmp_signed("<", stop, numbers), stop, numbers)
        for width in widths:
            end = build.and_(stop, LONG(-width))
            with code.loop(start, end, width) as place:
                yield place, width
            start = end
