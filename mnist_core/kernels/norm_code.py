"""What the kernels of batch norm share: their arguments, and the loops over channels-last maps.

Order and rounding of every operation are those of torch 2.15's native batch norm (its source:
aten/src/ATen/native/cpu/batch_norm_kernel.cpp), also where the compiler made one operation of a
product and a sum.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import BYTE, LONG, Code
from mnist_core.kernels.floats import DOUBLE, FLOAT, Floats
from mnist_core.kernels.formats import BLOCK, Format
from mnist_core.kernels.norm_arguments import Argument, Term

_VECTOR_BITS = 512
_STRETCH = 32
"""Pixels whose channels are read block by block, so that sums stay in registers."""


class NormCode(Code):
    """Loops over pixels and blocks of channels, and where things lie."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self.form = form
        self.element = ir.IntType(form.bits)
        self.floats = Floats(self, form)
        # In torch, bf16 is summed over the threads in fp32, and fp32 in fp64.
        self.total_type = FLOAT if form.bits < 32 else DOUBLE
        self.parts = self.argument(Argument.PARTS)
        self.images, self.rows, self.columns, self.channels = map(
            self.argument, (Argument.IMAGES, Argument.ROWS, Argument.COLUMNS, Argument.CHANNELS)
        )
        self.pixels = self.build.mul(self.images, self.build.mul(self.rows, self.columns))
        self.pooled_rows = self.build.lshr(self.rows, LONG(1))
        self.pooled_columns = self.build.lshr(self.columns, LONG(1))
        self.maps, self.output, self.winners, self.gradient = (
            self.address(which, self.element)
            for which in (Argument.MAPS, Argument.OUTPUT, Argument.WINNERS, Argument.GRADIENT)
        )
        self.places = self.address(Argument.PLACES, BYTE)
        self.terms, self.sums = (
            self.address(which, FLOAT) for which in (Argument.TERMS, Argument.SUMS)
        )

    def numbers(self, which: Argument) -> Any:
        """Emit the address of fp32 numbers, one a channel."""
        return self.address(which, FLOAT)

    def term_place(self, which: Term, channel: Any) -> Any:
        """Emit where a term of a channel lies in ``terms``."""
        return self.build.add(self.build.mul(self.channels, LONG(which)), channel)

    def term(self, which: Term, channel: Any, width: int) -> Any:
        """Emit the load of a term of ``width`` channels."""
        return self.load(self.terms, self.term_place(which, channel), width)

    def sum_place(self, which: int, part: Any, channel: Any) -> Any:
        """Emit where the first (0) or second (1) sum of a part and a channel lies in ``sums``."""
        row = self.build.add(self.build.mul(self.parts, LONG(which)), part)
        return self.build.add(self.build.mul(row, self.channels), channel)

    def blocks(self) -> Iterator[tuple[Any, int]]:
        """Emit the loops over blocks of channels; yield the first channel and the width of each."""
        start = LONG(0)
        for width in sorted({_VECTOR_BITS // self.form.bits, 2 * BLOCK, BLOCK}, reverse=True):
            stop = self.build.and_(self.channels, LONG(-width))
            with self.loop(start, stop, width) as channel:
                yield channel, width
            start = stop

    def pixels_of(self, part: Any) -> tuple[Any, Any]:
        """Emit the first pixel of a part and the one behind its last, as torch divides them."""
        build = self.build
        most = build.sdiv(build.sub(build.add(self.pixels, self.parts), LONG(1)), self.parts)
        begin = build.mul(part, most)
        return begin, self.least(build.add(begin, most), self.pixels)

    def stretches(self, begin: Any, end: Any) -> Iterator[tuple[Any, Any]]:
        """Emit a loop over stretches of pixels; yield the first and the one behind the last."""
        with self.loop(begin, end, _STRETCH) as start:
            yield start, self.least(self.build.add(start, LONG(_STRETCH)), end)

    def least(self, a: Any, b: Any) -> Any:
        """Emit the lesser of two integers."""
        return self.build.select(self.build.icmp_signed("<", a, b), a, b)

    def clear_sums(self, part: Any, many: int) -> None:
        """Emit zeros as the first ``many`` sums of a part."""
        for which in range(many):
            with self.loop(LONG(0), self.channels) as channel:
                self.set_number(FLOAT(0.0), self.sums, self.sum_place(which, part, channel))

    @contextmanager
    def last_part(self) -> Iterator[None]:
        """Emit what only the thread that ends the last part shall do."""
        place = self.build.gep(self.arguments, [LONG(Argument.DONE)])
        before = self.build.atomic_rmw("add", place, LONG(1), "acq_rel")
        last = self.build.sub(self.parts, LONG(1))
        with self.build.if_then(self.build.icmp_signed("==", before, last)):
            yield

    def total(self, which: int, channel: Any) -> Any:
        """Emit the sum over all parts."""
        with self.fold([self.total_type(0.0)], LONG(0), self.parts) as turn:
            number = self.number(self.sums, self.sum_place(which, turn.index, channel))
            turn.values = [self.build.fadd(turn.values[0], self.to_total(number))]
        return turn.values[0]

    def to_total(self, number: Any) -> Any:
        """Emit an fp32 number in the type of totals."""
        return number if self.total_type is FLOAT else self.build.fpext(number, DOUBLE)

    def from_total(self, number: Any) -> Any:
        """Emit a total as an fp32 number."""
        return number if self.total_type is FLOAT else self.build.fptrunc(number, FLOAT)
