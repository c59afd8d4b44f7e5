"""LLVM's code of the backward passes of batch norm, a pooling and a ReLU."""

from dataclasses import dataclass
from typing import Any

from mnist_core.kernels.code import BYTE, LONG, constant
from mnist_core.kernels.floats import FLOAT
from mnist_core.kernels.formats import BLOCK, Format
from mnist_core.kernels.norm_arguments import Argument, Term
from mnist_core.kernels.norm_code import NormCode
from mnist_core.kernels.norm_forward_code import four


def sums(form: Format, *, pool: bool, relu: bool) -> str:
    """Return the code of ``kernel``: gradients of weight and bias, and what ``gradient`` needs.

    Of each channel it writes the mean of the output's gradient as the first sum of part 0, and by
    how much the gradient changes with the distance from the channel's mean as its second.
    """
    code = NormCode(form)
    with code.each_part(code.parts) as part:
        code.clear_sums(part, 2)
        if pool:
            _pooled_sums(code, part)
        else:
            _plain_sums(code, part, relu=relu)
        with code.last_part(), code.loop(LONG(0), code.channels) as channel:
            _finish(code, channel)
    return code.text()


def gradient(form: Format, *, pool: bool, relu: bool) -> str:
    """Return the code of ``kernel``, which writes the gradient of the maps."""
    code = NormCode(form)
    with code.each_part(code.images) as image:
        if pool:
            _pooled_gradient(code, image)
        else:
            _plain_gradient(code, image, relu=relu)
    return code.text()


def _plain_sums(code: NormCode, part: Any, *, relu: bool) -> None:
    for start, stop in code.stretches(*code.pixels_of(part)):
        for channel, width in code.blocks():
            terms = _Terms(code, channel, width)
            places, first = _sums(code, part, channel, width)
            with code.fold(first, start, stop) as turn:
                there = code.build.add(code.build.mul(turn.index, code.channels), channel)
                value = code.floats.widened(code.load(code.maps, there, width))
                slope = code.floats.widened(code.load(code.output, there, width))
                if relu:
                    slope = terms.stopped(slope, value)
                turn.values = _added(code, turn.values, slope, terms.distance(value))
            for total, place in zip(turn.values, places, strict=True):
                code.store(total, code.sums, place)


def _pooled_sums(code: NormCode, part: Any) -> None:
    # All but the winners have a gradient of 0, which changes no sum. What counts is the order of
    # the others: row by row of the maps, so a row of windows is gone through twice.
    build = code.build
    begin, end = code.pixels_of(part)
    behind = build.sdiv(build.sub(build.add(end, code.columns), LONG(1)), code.columns)
    with code.loop(build.sdiv(begin, code.columns), behind) as row:
        line = _Line(code, row, begin, end)
        for channel, width in code.blocks():
            terms = _Terms(code, channel, width)
            places, first = _sums(code, part, channel, width)
            with code.fold(first, line.start, line.stop) as turn:
                there = build.mul(build.add(line.pooled, turn.index), code.channels)
                there = build.add(there, channel)
                won = line.won(turn.index, code.load(code.places, there, width))
                slope = code.load(code.output, there, width)
                slope = build.select(won, slope, constant(code.element, 0, width))
                value = code.floats.widened(code.load(code.winners, there, width))
                distance = terms.distance(value)
                turn.values = _added(code, turn.values, code.floats.widened(slope), distance)
            for total, place in zip(turn.values, places, strict=True):
                code.store(total, code.sums, place)


class _Line:
    """A row of the maps, as far as it belongs to a part, and the windows that it is in."""

    def __init__(self, code: NormCode, row: Any, begin: Any, end: Any) -> None:
        build = self._build = code.build
        self._code = code
        left = build.mul(row, code.columns)
        from_begin = build.sub(begin, left)
        zero = LONG(0)
        self._first = build.select(build.icmp_signed(">", from_begin, zero), from_begin, zero)
        self._behind = code.least(build.sub(end, left), code.columns)
        in_image = build.srem(row, code.rows)
        i = build.lshr(in_image, LONG(1))
        image = build.sdiv(row, code.rows)
        row_of_windows = build.add(build.mul(image, code.pooled_rows), i)
        self.pooled = build.mul(row_of_windows, code.pooled_columns)
        self.start = build.ashr(self._first, LONG(1))
        stop = build.ashr(build.add(self._behind, LONG(1)), LONG(1))
        stop = code.least(stop, code.pooled_columns)
        outside = build.icmp_signed(">=", i, code.pooled_rows)  # the last of an odd number of rows
        self.stop = build.select(outside, self.start, stop)
        self._place = build.trunc(build.shl(build.and_(in_image, LONG(1)), LONG(1)), BYTE)

    def won(self, j: Any, places: Any) -> Any:
        """Emit which winners of a window lie in this row, and in the part."""
        build, width = self._build, places.type.count
        column = build.shl(j, LONG(1))
        none = BYTE(255)
        left = build.select(build.icmp_signed(">=", column, self._first), self._place, none)
        is_inside = build.icmp_signed("<", build.add(column, LONG(1)), self._behind)
        right = build.select(is_inside, build.add(self._place, BYTE(1)), none)
        won = [
            build.icmp_signed("==", places, self._code.spread(one, width)) for one in (left, right)
        ]
        return build.or_(*won)


def _sums(code: NormCode, part: Any, channel: Any, width: int) -> tuple[list[Any], list[Any]]:
    places = [code.sum_place(which, part, channel) for which in range(2)]
    return places, [code.load(code.sums, place, width) for place in places]


def _added(code: NormCode, totals: list[Any], slope: Any, distance: Any) -> list[Any]:
    total, product = totals
    return [code.build.fadd(total, slope), code.floats.fma(distance, slope, product)]


def _finish(code: NormCode, channel: Any) -> None:
    build = code.build
    total, product = (code.from_total(code.total(which, channel)) for which in range(2))
    inverse = code.number(code.terms, code.term_place(Term.INVERSE_DEVIATION, channel))
    pixels = build.sitofp(code.pixels, FLOAT)
    scaled = build.fmul(product, inverse)
    code.set_number(scaled, code.numbers(Argument.WEIGHT_GRADIENT), channel)
    code.set_number(total, code.numbers(Argument.BIAS_GRADIENT), channel)
    mean, change = build.fdiv(total, pixels), build.fdiv(build.fmul(scaled, inverse), pixels)
    for which, value in enumerate((mean, change)):
        code.set_number(value, code.sums, code.sum_place(which, LONG(0), channel))


def _plain_gradient(code: NormCode, image: Any, *, relu: bool) -> None:
    build = code.build
    with code.loop(LONG(0), code.rows) as row:
        first = build.mul(build.add(build.mul(image, code.rows), row), code.columns)
        for channel, width in code.blocks():
            terms = _Terms(code, channel, width)
            change = _Change(code, channel, width)
            with code.loop(first, build.add(first, code.columns)) as pixel:
                there = build.add(build.mul(pixel, code.channels), channel)
                value = code.floats.widened(code.load(code.maps, there, width))
                slope = code.floats.widened(code.load(code.output, there, width))
                if relu:
                    slope = terms.stopped(slope, value)
                change.store(slope, terms.distance(value), there)


def _pooled_gradient(code: NormCode, image: Any) -> None:
    build = code.build
    odd_column, odd_row = (build.and_(side, LONG(1)) for side in (code.columns, code.rows))
    top = build.mul(image, code.rows)
    with code.loop(LONG(0), code.pooled_rows) as i:
        first = build.mul(build.add(top, build.shl(i, LONG(1))), code.columns)
        pooled = build.add(build.mul(image, code.pooled_rows), i)
        pooled = build.mul(pooled, code.pooled_columns)
        for channel, width in code.blocks():
            terms = _Terms(code, channel, width)
            change = _Change(code, channel, width)
            with code.loop(LONG(0), code.pooled_columns) as j:
                window = build.add(build.mul(build.add(pooled, j), code.channels), channel)
                pixel = build.add(first, build.shl(j, LONG(1)))
                _window_gradient(code, window, four(code, pixel, channel), terms, change)
            with code.loop(LONG(0), odd_column):
                last = build.sub(build.add(first, code.columns), LONG(1))
                for there in four(code, last, channel)[::2]:
                    change.store_outside(terms, there)
    with code.loop(LONG(0), odd_row):
        first = build.mul(build.sub(build.add(top, code.rows), LONG(1)), code.columns)
        for channel, width in code.blocks():
            terms = _Terms(code, channel, width)
            change = _Change(code, channel, width)
            with code.loop(first, build.add(first, code.columns)) as pixel:
                change.store_outside(terms, build.add(build.mul(pixel, code.channels), channel))


def _window_gradient(
    code: NormCode, window: Any, four_places: list[Any], terms: "_Terms", change: "_Change"
) -> None:
    build, width = code.build, terms.width
    zero = constant(code.element, 0, width)
    slope = code.load(code.output, window, width)
    # torch adds it to 0, which makes 0 of -0.0.
    negative_zero = build.icmp_signed("==", slope, constant(code.element, code.form.sign, width))
    slope = build.select(negative_zero, zero, slope)
    places = code.load(code.places, window, width)
    for n, there in enumerate(four_places):
        won = build.icmp_signed("==", places, constant(BYTE, n, width))
        own = code.floats.widened(build.select(won, slope, zero))
        value = code.floats.widened(code.load(code.maps, there, width))
        change.store(own, terms.distance(value), there)


@dataclass
class _Terms:
    """What a loop over pixels needs of a block of channels, loaded before it."""

    code: NormCode
    channel: Any
    width: int

    def __post_init__(self) -> None:
        code, channel, width = self.code, self.channel, self.width
        self._mean = code.term(Term.MEAN, channel, width)
        self._line = [code.term(term, channel, width) for term in (Term.FACTOR, Term.SUMMAND)]

    def distance(self, value: Any) -> Any:
        """Emit how far a value is from the mean."""
        return self.code.build.fsub(value, self._mean)

    def stopped(self, slope: Any, value: Any) -> Any:
        """Emit the gradient before the ReLU: 0 where the output is not above 0."""
        above = self.code.floats.above_zero(self.code.floats.fma(value, *self._line))
        return self.code.build.select(above, slope, constant(FLOAT, 0.0, self.width))


class _Change:
    """How the gradient of the maps follows from that of the output."""

    def __init__(self, code: NormCode, channel: Any, width: int) -> None:
        self._code, self._width = code, width
        self._mean, self._product = (
            code.load(code.sums, code.sum_place(which, LONG(0), channel), width)
            for which in range(2)
        )
        self._inverse = code.term(Term.INVERSE_DEVIATION, channel, width)
        self._weight = code.load(code.numbers(Argument.WEIGHT), channel, width)

    def store(self, slope: Any, distance: Any, there: Any) -> None:
        """Emit the store of the gradient of a pixel."""
        build = self._code.build
        left = build.fsub(slope, self._mean)
        # Torch's compiler made one operation of the product and the difference for fp32, and for
        # the last channels of bf16 that fill no vector of fp32.
        if self._code.form.bits == 32 or self._width == BLOCK:
            left = self._code.floats.fnma(distance, self._product, left)
        else:
            left = build.fsub(left, build.fmul(distance, self._product))
        found = build.fmul(build.fmul(left, self._inverse), self._weight)
        self._code.store(self._code.floats.narrowed(found), self._code.gradient, there)

    def store_outside(self, terms: _Terms, there: Any) -> None:
        """Emit the store of the gradient of a pixel that is in no window."""
        value = self._code.floats.widened(self._code.load(self._code.maps, there, self._width))
        self.store(constant(FLOAT, 0.0, self._width), terms.distance(value), there)
