"""LLVM's code of dropout, and of the random words of torch's generator that it takes."""

from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.formats import BLOCK, PART, STATE, Format
from mnist_core.kernels.loops import BYTE, LONG, Loops, constant

_AHEAD = 397  # the third word that a new one is made of
_WIDE = 16  # words made together: fewer than the 227 that lie between the third word and the new
_SHORT, _WORD = ir.IntType(16), ir.IntType(32)


class Draw(IntEnum):
    """Arguments of ``draw``."""

    STATE = 0  # address of torch's state: 8 bytes, int32 left, int32, int64 next, int64[624]
    WORDS = auto()  # address of the words, uint32, before they are tempered; the state's first
    BLOCKS = auto()  # of 624 words, to be made after the state's
    NEXT = auto()  # position in the last block of the word that is drawn next


class Argument(IntEnum):
    """Arguments of ``forward`` and ``backward``."""

    NEXT = 0  # part that no thread has taken
    PARTS = auto()
    NUMBERS = auto()  # a multiple of BLOCK
    WORDS = auto()  # address of the first word to be tempered, two for four numbers
    THRESHOLD = auto()  # the least 16 bits, signed, of a number that is kept
    FACTOR = auto()  # bits of the factor of kept numbers, fp64
    VALUES = auto()  # address of what comes, numbers or gradient
    RESULT = auto()
    KEPT = auto()  # address of a bit a number


def draw() -> str:
    """Return the code of ``kernel``, which makes random words and moves the generator on."""
    code = Loops()
    build = code.build
    state, words = code.address(Draw.STATE, BYTE), code.address(Draw.WORDS, _WORD)
    left, following, own = (
        build.bitcast(build.gep(state, [LONG(offset)]), kind.as_pointer())
        for offset, kind in ((8, _WORD), (16, LONG), (24, LONG))
    )
    start = build.mul(code.argument(Draw.BLOCKS), LONG(STATE))
    with code.each(LONG(0), LONG(STATE), _WIDE) as i:
        code.store(build.trunc(code.load(own, i, _WIDE), ir.VectorType(_WORD, _WIDE)), words, i)
    with code.each(LONG(0), start, _WIDE) as i:
        a, b, c = (code.load(words, build.add(i, LONG(n)), _WIDE) for n in (0, 1, _AHEAD))
        mixed = build.or_(build.and_(a, _words(0x8000_0000)), build.and_(b, _words(0x7FFF_FFFF)))
        odd = build.sub(_words(0), build.and_(b, _words(1)))
        twisted = build.xor(build.lshr(mixed, _words(1)), build.and_(odd, _words(0x9908_B0DF)))
        code.store(build.xor(c, twisted), words, build.add(i, LONG(STATE)))
    with code.each(LONG(0), LONG(STATE), _WIDE) as i:
        last = code.load(words, build.add(start, i), _WIDE)
        code.store(build.zext(last, ir.VectorType(LONG, _WIDE)), own, i)
    next_ = code.argument(Draw.NEXT)
    build.store(next_, following)
    build.store(build.trunc(build.sub(LONG(STATE + 1), next_), _WORD), left)
    return code.text()


def forward(form: Format) -> str:
    """Return the code of ``kernel``, which drops numbers, multiplies the others, notes which."""
    code = _Dropout(form)
    build = code.build
    for place, width in code.vectors():
        kept = code.chosen(place, width)
        code.note(kept, place)
        factor = code.kept_or_zero(kept, code.factor)
        code.store(code.rounded(build.fmul(code.values(place, width), factor)), place)
    return code.text()


def backward(form: Format) -> str:
    """Return the code of ``kernel``, which does the same with the gradient, in torch's order."""
    code = _Dropout(form)
    build = code.build
    for place, width in code.vectors():
        product = code.rounded(
            build.fmul(code.values(place, width), code.splat(code.factor, width))
        )
        # The other way round an overflow would not become NaN.
        one = code.kept_or_zero(code.noted(place, width), code.real(1.0))
        code.store(build.fmul(product, one), place)
    return code.text()


class _Dropout:
    """A kernel of dropout under construction."""

    def __init__(self, form: Format) -> None:
        self._code = Loops()
        self.build = self._code.build
        self._element = ir.IntType(form.bits)
        self.real = ir.DoubleType() if form.bits == 64 else ir.FloatType()
        address = self._code.address
        self._values, self._result = (
            address(which, self._element) for which in (Argument.VALUES, Argument.RESULT)
        )
        self._words, self._kept = address(Argument.WORDS, _WORD), address(Argument.KEPT, BYTE)
        self._threshold = self.build.trunc(self._code.argument(Argument.THRESHOLD), _SHORT)
        factor = self.build.bitcast(self._code.argument(Argument.FACTOR), ir.DoubleType())
        # torch computes bf16 with a factor of fp32.
        self.factor = factor if form.bits == 64 else self.build.fptrunc(factor, self.real)

    def text(self) -> str:
        """Return the code at its end."""
        return self._code.text()

    def vectors(self) -> Any:
        """Emit the loops over the numbers; yield the inside of each: a place and a width."""
        build, numbers = self.build, self._code.argument(Argument.NUMBERS)
        with self._code.each_part(Argument.PARTS) as part:
            start = build.mul(part, LONG(PART))
            stop = build.add(start, LONG(PART))
            stop = build.select(build.icmp_signed("<", stop, numbers), stop, numbers)
            for width in (4 * BLOCK, BLOCK):
                end = build.and_(stop, LONG(-width))
                with self._code.each(start, end, width) as place:
                    yield place, width
                start = end

    def values(self, place: Any, width: int) -> Any:
        """Emit the load of what comes."""
        return self._real_of(self._code.load(self._values, place, width))

    def store(self, values: Any, place: Any) -> None:
        """Emit the store of what goes, rounded already."""
        build, width = self.build, values.type.count
        if self._element.width == 16:
            bits = build.bitcast(values, ir.VectorType(_WORD, width))
            values = build.trunc(build.lshr(bits, _words(16, width)), ir.VectorType(_SHORT, width))
        else:
            values = build.bitcast(values, ir.VectorType(self._element, width))
        self._code.store(values, self._result, place)

    def kept_or_zero(self, kept: Any, value: Any) -> Any:
        """Emit ``value`` where numbers are kept, 0 elsewhere; times infinity it is NaN."""
        width = kept.type.count
        return self.build.select(kept, self.splat(value, width), constant(self.real, width, 0.0))

    def chosen(self, place: Any, width: int) -> Any:
        """Emit the choice of the numbers that are kept, from two random words for four numbers."""
        build, count = self.build, width // 2
        word = self._code.load(self._words, build.lshr(place, LONG(1)), count)
        word = build.xor(word, build.lshr(word, _words(11, count)))
        for shift, mask in ((7, 0x9D2C_5680), (15, 0xEFC6_0000)):
            shifted = build.shl(word, _words(shift, count))
            word = build.xor(word, build.and_(shifted, _words(mask, count)))
        word = build.xor(word, build.lshr(word, _words(18, count)))
        # Of a 64-bit number torch draws the upper half first.
        order = ir.Constant(ir.VectorType(_WORD, count), [i ^ 1 for i in range(count)])
        word = build.shuffle_vector(word, word, order)
        short = build.bitcast(word, ir.VectorType(_SHORT, width))
        return build.icmp_signed(">=", short, self.splat(self._threshold, width))

    def note(self, kept: Any, place: Any) -> None:
        """Emit the store of what was kept."""
        bits = ir.IntType(kept.type.count)
        stored = self.build.store(self.build.bitcast(kept, bits), self._noted(place, bits))
        stored.align = 1

    def noted(self, place: Any, width: int) -> Any:
        """Emit the load of what was kept."""
        loaded = self.build.load(self._noted(place, ir.IntType(width)))
        loaded.align = 1
        return self.build.bitcast(loaded, ir.VectorType(ir.IntType(1), width))

    def _noted(self, place: Any, bits: Any) -> Any:
        there = self.build.gep(self._kept, [self.build.lshr(place, LONG(3))])
        return self.build.bitcast(there, bits.as_pointer())

    def _real_of(self, values: Any) -> Any:
        build, width = self.build, values.type.count
        if self._element.width == 16:
            values = build.zext(values, ir.VectorType(_WORD, width))
            values = build.shl(values, _words(16, width))
        return build.bitcast(values, ir.VectorType(self.real, width))

    def rounded(self, values: Any) -> Any:
        """Emit the rounding to bf16 as torch does it: to the nearest, of two the even one."""
        if self._element.width != 16:
            return values
        build, width = self.build, values.type.count
        bits = build.bitcast(values, ir.VectorType(_WORD, width))
        odd = build.and_(build.lshr(bits, _words(16, width)), _words(1, width))
        rounded = build.add(bits, build.add(odd, _words(0x7FFF, width)))
        rounded = build.and_(rounded, _words(0xFFFF_0000, width))
        # Rounding could carry a NaN over into a number.
        is_nan = build.fcmp_unordered("uno", values, values)
        kind = ir.VectorType(self.real, width)
        return build.select(is_nan, values, build.bitcast(rounded, kind))

    def splat(self, value: Any, width: int) -> Any:
        kind = ir.VectorType(value.type, width)
        one = self.build.insert_element(ir.Constant(kind, ir.Undefined), value, LONG(0))
        order = ir.Constant(ir.VectorType(_WORD, width), [0] * width)
        return self.build.shuffle_vector(one, one, order)


def _words(value: int, width: int = _WIDE) -> Any:
    return constant(_WORD, width, value)
