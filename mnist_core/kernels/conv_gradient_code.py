"""LLVM's code of the weight gradient of a convolution of one channel, as AMX tiles add it up.

oneDNN goes through the images row by row. Of each row one chain of fused products takes the even
pixels, one the odd ones; their sum is added to the total. The bias adds the odd one of each two
pixels first.
"""

from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import LONG, NEXT, Code, constant
from mnist_core.kernels.floats import FLOAT, Floats
from mnist_core.kernels.formats import FORMATS

WIDTH = 16
"""Channels that are computed together; their number is a multiple."""

_MOST = 10
"""Weights of a channel whose chains, two each, stay in registers."""


class Argument(IntEnum):
    """Positions in the array of int64 that the kernel is called with."""

    PARTS = NEXT + 1  # of the images, each with sums of its own
    IMAGES = auto()  # of a part
    ROWS = auto()  # of the gradient, as the next
    COLUMNS = auto()
    CHANNELS = auto()
    PADDED_ROWS = auto()  # of the pixels, as the next
    PADDED_COLUMNS = auto()
    PIXELS = auto()  # address of the images, fp32, padded
    GRADIENT = auto()  # address of the output's gradient, bf16, channels-last
    WEIGHTS = auto()  # address of the weights' gradient, fp32 [PARTS, side * side, CHANNELS], zeros
    BIAS = auto()  # address of the bias's gradient, fp32 [PARTS, CHANNELS], zeros


def weights(side: int) -> str:
    """Return the code of ``kernel`` for squares of ``side`` weights."""
    code = _Code(side)
    zero = LONG(0)
    rows = max(1, _MOST // side) if side * side > _MOST else side
    with code.each_part(code.argument(Argument.PARTS)) as part:
        begin = code.build.mul(part, code.images)
        end = code.build.add(begin, code.images)
        with code.loop(zero, code.channels, WIDTH) as channel, code.loop(begin, end) as image:
            for top in range(0, side, rows):
                with code.loop(zero, code.rows) as row:
                    code.add_row(part, image, row, channel, range(top, min(top + rows, side)))
    return code.text()


class _Code(Code):
    def __init__(self, side: int) -> None:
        super().__init__()
        self._side = side
        form = FORMATS["bfloat16"]
        self._floats = Floats(self, form)
        self.images, self.rows, self._columns, self.channels, self._high, self._wide = map(
            self.argument, list(Argument)[1:7]
        )
        self._gradient = self.address(Argument.GRADIENT, ir.IntType(form.bits))
        self._pixels, self._weights, self._bias = (
            self.address(which, FLOAT)
            for which in (Argument.PIXELS, Argument.WEIGHTS, Argument.BIAS)
        )

    def add_row(self, part: Any, image: Any, row: Any, channel: Any, sides: range) -> None:
        """Emit what a row of the gradient adds to the rows ``sides`` of the weights."""
        build = self.build
        taps = [(i, j) for i in sides for j in range(self._side)]
        zero = constant(FLOAT, 0.0, WIDTH)
        first = build.mul(build.add(build.mul(image, self.rows), row), self._columns)
        lines = {
            i: build.mul(
                build.add(build.mul(image, self._high), build.add(row, LONG(i))), self._wide
            )
            for i in sides
        }
        own = build.add(build.mul(part, self.channels), channel)
        bias = self.load(self._bias, own, WIDTH)
        pairs = build.and_(self._columns, LONG(-2))
        chains = [zero] * (2 * len(taps))
        with self.fold([bias, *chains], LONG(0), pairs, 2) as turn:
            even, odd = (self._slope(first, turn.index, n, channel) for n in range(2))
            total, *chains = turn.values
            total = build.fadd(build.fadd(total, odd), even)
            for n, (i, j) in enumerate(taps):
                for k, slope in enumerate((even, odd)):
                    pixel = self._pixel(lines[i], turn.index, j + k)
                    which = 2 * n + k
                    chains[which] = self._floats.fma(slope, pixel, chains[which])
            turn.values = [total, *chains]
        with self.fold(turn.values, pairs, self._columns) as last:  # of an odd number
            slope = self._slope(first, last.index, 0, channel)
            total, *chains = last.values
            for n, (i, j) in enumerate(taps):
                pixel = self._pixel(lines[i], last.index, j)
                chains[2 * n] = self._floats.fma(slope, pixel, chains[2 * n])
            last.values = [build.fadd(total, slope), *chains]
        total, *chains = last.values
        if sides.start == 0:
            self.store(total, self._bias, own)
        for n, (i, j) in enumerate(taps):
            tap = build.add(build.mul(part, LONG(self._side**2)), LONG(i * self._side + j))
            place = build.add(build.mul(tap, self.channels), channel)
            both = build.fadd(chains[2 * n], chains[2 * n + 1])
            self.store(
                build.fadd(self.load(self._weights, place, WIDTH), both), self._weights, place
            )

    def _slope(self, first: Any, column: Any, n: int, channel: Any) -> Any:
        build = self.build
        pixel = build.add(build.add(first, column), LONG(n))
        place = build.add(build.mul(pixel, self.channels), channel)
        return self._floats.widened(self.load(self._gradient, place, WIDTH))

    def _pixel(self, line: Any, column: Any, n: int) -> Any:
        place = self.build.add(self.build.add(line, column), LONG(n))
        return self.spread(self.number(self._pixels, place), WIDTH)
