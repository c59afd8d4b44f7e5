"""LLVM's code of the 2 x 2 max pooling of channels-last maps, with or without a ReLU behind it.

It computes what torch computes, to the last bit. Of equal values the first of a window wins, and of
several NaNs the last. Why the order of integers will do: IEEE numbers of one sign are ordered as
their bits are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.formats import BLOCK, Format

_VECTOR_BITS = 512  # wider ones than the processor's are split by LLVM
_NO_PLACE = 4  # The four places of a window are 0 to 3. Here a ReLU stopped the gradient.
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)


class Argument(IntEnum):
    """Positions in the array of int64 that a kernel is called with."""

    NEXT = 0  # image that no thread has taken
    IMAGES = auto()
    ROWS = auto()  # of the maps before the pooling, as the next
    COLUMNS = auto()
    CHANNELS = auto()
    MAPS = auto()  # address of the maps before the pooling, or of their gradient
    POOLED = auto()  # address of the maps behind it, or of their gradient
    PLACES = auto()  # address of the winners' places, a byte each; 0: they are not wanted


def forward(form: Format, *, relu: bool) -> str:
    """Return the code of ``kernel``, which writes the pooled maps and the winners' places."""
    code = _Code(form)
    with code.each_image() as image:
        for window in code.windows(image):
            best, winner = window.winner(relu=relu)
            window.store_pooled(best)
            with code.build.if_then(code.wants_places):
                window.store_places(winner)
    return code.text()


def backward(form: Format) -> str:
    """Return the code of ``kernel``, which writes the gradient of the maps, all of it."""
    code = _Code(form)
    with code.each_image() as image:
        for window in code.windows(image):
            window.store_gradient()
        code.clear_left_out(image)
    return code.text()


class _Code:
    """A function under construction: the loops, and where things lie."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self.element = ir.IntType(form.bits)
        self._module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [_LONG.as_pointer()])
        function = ir.Function(self._module, kind, "kernel")
        self.build = ir.IRBuilder(function.append_basic_block())
        self._arguments = function.args[0]
        self.channels = self._argument(Argument.CHANNELS)
        self._rows, self._columns = map(self._argument, (Argument.ROWS, Argument.COLUMNS))
        self.row = self.build.mul(self._columns, self.channels)  # numbers in a row of the maps
        self._pooled_rows = self.build.lshr(self._rows, _LONG(1))
        self._pooled_columns = self.build.lshr(self._columns, _LONG(1))
        self.maps, self.pooled = map(self._address, (Argument.MAPS, Argument.POOLED))
        self.places = self._address(Argument.PLACES, _BYTE)
        places = self._argument(Argument.PLACES)
        self.wants_places = self.build.icmp_signed("!=", places, _LONG(0))

    def text(self) -> str:
        """Return the code in LLVM's language, at its end."""
        self.build.ret_void()
        return str(self._module)

    def _argument(self, which: Argument) -> Any:
        return self.build.load(self.build.gep(self._arguments, [_LONG(which)]))

    def _address(self, which: Argument, kind: Any = None) -> Any:
        return self.build.inttoptr(self._argument(which), (kind or self.element).as_pointer())

    @contextmanager
    def each_image(self) -> Iterator[Any]:
        """Emit a loop over images that several threads may run at once."""
        build = self.build
        take, work, end = (build.append_basic_block(name) for name in ("take", "work", "end"))
        build.branch(take)
        build.position_at_end(take)
        # Each thread takes the next image, so one that other programs slow down takes fewer.
        image = build.atomic_rmw("add", self._arguments, _LONG(1), "monotonic")
        left = build.icmp_signed("<", image, self._argument(Argument.IMAGES))
        build.cbranch(left, work, end)
        build.position_at_end(work)
        yield image
        build.branch(take)
        build.position_at_end(end)

    @contextmanager
    def _loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
        build = self.build
        before = build.block
        head, body, end = (build.append_basic_block(name) for name in ("head", "body", "end"))
        build.branch(head)
        build.position_at_end(head)
        index = build.phi(_LONG)
        index.add_incoming(start, before)
        build.cbranch(build.icmp_signed("<", index, stop), body, end)
        build.position_at_end(body)
        yield index
        index.add_incoming(build.add(index, _LONG(step)), build.block)
        build.branch(head)
        build.position_at_end(end)

    def windows(self, image: Any) -> Iterator["_Window"]:
        """Emit the loops over an image; yield the inside of each."""
        build, zero = self.build, _LONG(0)
        with self._loop(zero, self._pooled_rows) as i, self._loop(zero, self._pooled_columns) as j:
            row = build.add(build.mul(image, self._rows), build.shl(i, _LONG(1)))
            column = build.add(build.mul(row, self._columns), build.shl(j, _LONG(1)))
            maps = build.mul(column, self.channels)
            pooled_row = build.add(build.mul(image, self._pooled_rows), i)
            pooled_column = build.add(build.mul(pooled_row, self._pooled_columns), j)
            pooled = build.mul(pooled_column, self.channels)
            start = zero
            for width in sorted({_VECTOR_BITS // self.form.bits, BLOCK}, reverse=True):
                stop = build.and_(self.channels, _LONG(-width))
                with self._loop(start, stop, width) as channel:
                    yield _Window(self, width, build.add(maps, channel), build.add(pooled, channel))
                start = stop

    def clear_left_out(self, image: Any) -> None:
        """Emit zeros for the last row and column of an odd side, which are in no window."""
        build, zero, one = self.build, _LONG(0), _LONG(1)
        start = build.mul(build.mul(image, self._rows), self.row)
        odd_column = build.mul(build.and_(self._columns, one), self._rows)
        with self._loop(zero, odd_column) as i:
            after = build.add(start, build.mul(build.add(i, one), self.row))
            self._clear(build.sub(after, self.channels), self.channels)
        last = build.add(start, build.mul(build.sub(self._rows, one), self.row))
        self._clear(last, build.mul(build.and_(self._rows, one), self.row))

    def _clear(self, start: Any, length: Any) -> None:
        with self._loop(_LONG(0), length) as i:
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
        build = self._build
        values = [self._load(self._code.maps, place) for place in self._maps]
        best, place = values[0], self._bytes(0)
        largest, _ = self._order(best)
        for n, value in enumerate(values[1:], start=1):
            order, is_nan = self._order(value)
            better = build.or_(build.icmp_signed(">", order, largest), is_nan)
            best = build.select(better, value, best)
            largest = build.select(better, order, largest)
            place = build.select(better, self._bytes(n), place)
        if relu:  # NaN is above all numbers and stays
            zero = self._numbers(0)
            best = build.select(build.icmp_signed(">=", largest, zero), best, zero)
            positive = build.icmp_signed(">", largest, zero)
            place = build.select(positive, place, self._bytes(_NO_PLACE))
        return best, place

    def _order(self, value: Any) -> tuple[Any, Any]:
        """Emit integers that are ordered as the numbers are; also return which are NaN."""
        build, form = self._build, self._form
        magnitude = build.and_(value, self._numbers(form.magnitude))
        is_nan = build.icmp_signed(">", magnitude, self._numbers(form.infinity))
        # -magnitude of a negative number, in two's complement; so both zeros are 0.
        sign = build.ashr(value, self._numbers(form.bits - 1))
        order = build.sub(build.xor(magnitude, sign), sign)
        return build.select(is_nan, self._numbers(form.magnitude), order), is_nan

    def store_pooled(self, values: Any) -> None:
        """Emit the store of a window's result."""
        self._store(values, self._code.pooled, self._pooled)

    def store_places(self, places: Any) -> None:
        """Emit the store of the winners' places."""
        self._store(places, self._code.places, self._pooled)

    def store_gradient(self) -> None:
        """Emit the gradient of a window: that of the result for the winner, 0 for the others."""
        build = self._build
        gradient = self._load(self._code.pooled, self._pooled)
        # torch adds it to 0, which makes 0 of -0.0.
        negative_zero = build.icmp_signed("==", gradient, self._numbers(self._form.sign))
        gradient = build.select(negative_zero, self._numbers(0), gradient)
        places = self._load(self._code.places, self._pooled)
        for n, place in enumerate(self._maps):
            won = build.icmp_signed("==", places, self._bytes(n))
            self._store(build.select(won, gradient, self._numbers(0)), self._code.maps, place)

    def _load(self, base: Any, place: Any) -> Any:
        value = self._build.load(self._vector(base, place))
        value.align = base.type.pointee.width // 8
        return value

    def _store(self, value: Any, base: Any, place: Any) -> None:
        stored = self._build.store(value, self._vector(base, place))
        stored.align = base.type.pointee.width // 8

    def _vector(self, base: Any, place: Any) -> Any:
        kind = ir.VectorType(base.type.pointee, self._width)
        return self._build.bitcast(self._build.gep(base, [place]), kind.as_pointer())

    def _numbers(self, value: int) -> Any:
        return self._constant(self._code.element, value)

    def _bytes(self, value: int) -> Any:
        return self._constant(_BYTE, value)

    def _constant(self, element: Any, value: int) -> Any:
        return ir.Constant(ir.VectorType(element, self._width), [value] * self._width)
