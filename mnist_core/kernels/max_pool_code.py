"""LLVM's code of the 2 x 2 max pooling of channels-last maps, with or without a ReLU behind it.

It computes what torch computes, to the last bit.
"""

from collections.abc import Iterator
from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import BYTE, LONG, NEXT, Code, constant
from mnist_core.kernels.formats import BLOCK, Format
from mnist_core.kernels.windows import winner

_VECTOR_BITS = 512  # wider ones than the processor's are split by LLVM


class Argument(IntEnum):
    """Positions in the array of int64 that a kernel is called with."""

    IMAGES = NEXT + 1
    ROWS = auto()  # of the maps before the pooling, as the next
    COLUMNS = auto()
    CHANNELS = auto()
    MAPS = auto()  # address of the maps before the pooling, or of their gradient
    POOLED = auto()  # address of the maps behind it, or of their gradient
    PLACES = auto()  # address of the winners' places, a byte each; 0: they are not wanted


def forward(form: Format, *, relu: bool) -> str:
    """Return the code of ``kernel``, which writes the pooled maps and the winners' places."""
    code = _Code(form)
    with code.each_part(code.argument(Argument.IMAGES)) as image:
        for window in code.windows(image):
            best, winner = window.winner(relu=relu)
            window.store_pooled(best)
            with code.build.if_then(code.wants_places):
                window.store_places(winner)
    return code.text()


def backward(form: Format) -> str:
    """Return the code of ``kernel``, which writes the gradient of the maps, all of it."""
    code = _Code(form)
    with code.each_part(code.argument(Argument.IMAGES)) as image:
        for window in code.windows(image):
            window.store_gradient()
        code.clear_left_out(image)
    return code.text()


class _Code(Code):
    """The loops over the windows, and where things lie."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self.form = form
        self.element = ir.IntType(form.bits)
        self.channels = self.argument(Argument.CHANNELS)
        self._rows, self._columns = map(self.argument, (Argument.ROWS, Argument.COLUMNS))
        self.row = self.build.mul(self._columns, self.channels)  # numbers in a row of the maps
        self._pooled_rows = self.build.lshr(self._rows, LONG(1))
        self._pooled_columns = self.build.lshr(self._columns, LONG(1))
        self.maps = self.address(Argument.MAPS, self.element)
        self.pooled = self.address(Argument.POOLED, self.element)
        self.places = self.address(Argument.PLACES, BYTE)
        places = self.argument(Argument.PLACES)
        self.wants_places = self.build.icmp_signed("!=", places, LONG(0))

    def windows(self, image: Any) -> Iterator["_Window"]:
        """Emit the loops over an image; yield the inside of each."""
        build, zero = self.build, LONG(0)
        with self.loop(zero, self._pooled_rows) as i, self.loop(zero, self._pooled_columns) as j:
            row = build.add(build.mul(image, self._rows), build.shl(i, LONG(1)))
            column = build.add(build.mul(row, self._columns), build.shl(j, LONG(1)))
            maps = build.mul(column, self.channels)
            pooled_row = build.add(build.mul(image, self._pooled_rows), i)
            pooled_column = build.add(build.mul(pooled_row, self._pooled_columns), j)
            pooled = build.mul(pooled_column, self.channels)
            start = zero
            for width in sorted({_VECTOR_BITS // self.form.bits, BLOCK}, reverse=True):
                stop = build.and_(self.channels, LONG(-width))
                with self.loop(start, stop, width) as channel:
                    yield _Window(self, width, build.add(maps, channel), build.add(pooled, channel))
                start = stop

    def clear_left_out(self, image: Any) -> None:
        """Emit zeros for the last row and column of an odd side, which are in no window."""
        build, zero, one = self.build, LONG(0), LONG(1)
        start = build.mul(build.mul(image, self._rows), self.row)
        odd_column = build.mul(build.and_(self._columns, one), self._rows)
        with self.loop(zero, odd_column) as i:
            after = build.add(start, build.mul(build.add(i, one), self.row))
            self._clear(build.sub(after, self.channels), self.channels)
        last = build.add(start, build.mul(build.sub(self._rows, one), self.row))
        self._clear(last, build.mul(build.and_(self._rows, one), self.row))

    def _clear(self, start: Any, length: Any) -> None:
        with self.loop(LONG(0), length) as i:
            there = self.build.gep(self.maps, [self.build.add(start, i)])
            self.build.store(self.element(0), there)


class _Window:
    """The same window of ``width`` channels."""

    def __init__(self, code: _Code, width: int, maps: Any, pooled: Any) -> None:
        self._build, self._code, self._form, self._width = code.build, code, code.form, width
        below = self._build.add(maps, code.row)
        rows = [(start, self._build.add(start, code.channels)) for start in (maps, below)]
        self._maps = [place for row in rows for place in row]
        self._pooled = pooled

    def winner(self, *, relu: bool) -> tuple[Any, Any]:
        """Emit the comparison; return the largest values and their places."""
        values = [self._code.load(self._code.maps, place, self._width) for place in self._maps]
        return winner(self._build, self._form, values, relu=relu)

    def store_pooled(self, values: Any) -> None:
        """Emit the store of a window's result."""
        self._code.store(values, self._code.pooled, self._pooled)

    def store_places(self, places: Any) -> None:
        """Emit the store of the winners' places."""
        self._code.store(places, self._code.places, self._pooled)

    def store_gradient(self) -> None:
        """Emit the gradient of a window: that of the result for the winner, 0 for the others."""
        build = self._build
        gradient = self._code.load(self._code.pooled, self._pooled, self._width)
        # torch adds it to 0, which makes 0 of -0.0.
        negative_zero = build.icmp_signed("==", gradient, self._numbers(self._form.sign))
        gradient = build.select(negative_zero, self._numbers(0), gradient)
        places = self._code.load(self._code.places, self._pooled, self._width)
        for n, place in enumerate(self._maps):
            won = build.icmp_signed("==", places, self._bytes(n))
            self._code.store(build.select(won, gradient, self._numbers(0)), self._code.maps, place)

    def _numbers(self, value: int) -> Any:
        return constant(self._code.element, value, self._width)

    def _bytes(self, value: int) -> Any:
        return constant(BYTE, value, self._width)
