"""LLVM's code of dropout and of its gradient."""

from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels import flat_code
from mnist_core.kernels.bf16_code import (
    FLOAT,
    SHORT,
    WORD,
    bits_of_bf16,
    equal,
    from_bf16,
    rounded_to_bf16,
)
from mnist_core.kernels.code import LONG, constant
from mnist_core.kernels.flat_code import FlatCode
from mnist_core.kernels.formats import Format
from mnist_core.kernels.random_words_code import tempered


class Argument(IntEnum):
    """Arguments behind those of all kernels over numbers in a row."""

    FACTOR = len(flat_code.Argument)  # bits of the factor of kept numbers, fp64
    WORDS = auto()  # address of the first word to be tempered, two for four numbers
    THRESHOLD = auto()  # the least 16 bits, signed, of a number that is kept


def forward(form: Format) -> str:
    """Return the code of ``kernel``, which drops numbers, multiplies the others, notes which."""
    code = _Dropout(form)
    for place, width in code.vectors():
        kept = code.chosen(place, width)
        code.note(kept, place)
        product = code.build.fmul(code.reals(place, width), code.kept_or_zero(kept, code.factor))
        code.store_reals(code.rounded(product), place)
    return code.text()


def backward(form: Format) -> str:
    """Return the code of ``kernel``, which does the same with the gradient, in torch's order."""
    code = _Dropout(form)
    for place, width in code.vectors():
        product = code.build.fmul(code.reals(place, width), equal(code.build, code.factor, width))
        # Of a product beyond the largest number torch makes NaN where the number was dropped.
        one = code.kept_or_zero(code.noted(place, width), code.real(1.0))
        code.store_reals(code.build.fmul(code.rounded(product), one), place)
    return code.text()


class _Dropout(FlatCode):
    """A kernel of dropout under construction."""

    def __init__(self, form: Format) -> None:
        super().__init__(form)
        self._is_bf16 = form.bits == 16
        self.real = ir.DoubleType() if form.bits == 64 else FLOAT
        self._words = self.address(Argument.WORDS, WORD)
        self._threshold = self.build.trunc(self.argument(Argument.THRESHOLD), SHORT)
        factor = self.build.bitcast(self.argument(Argument.FACTOR), ir.DoubleType())
        # torch multiplies bf16 by a factor of fp32.
        self.factor = factor if form.bits == 64 else self.build.fptrunc(factor, self.real)

    def chosen(self, place: Any, width: int) -> Any:
        """Emit the choice of the numbers that are kept, by 16 random bits each."""
        words = self.load(self._words, self.build.lshr(place, LONG(1)), width // 2)
        bits = self.build.bitcast(tempered(self, words), ir.VectorType(SHORT, width))
        return self.build.icmp_signed(">=", bits, equal(self.build, self._threshold, width))

    def kept_or_zero(self, kept: Any, value: Any) -> Any:
        """Emit ``value`` for the numbers that are kept, 0 for the others."""
        width = kept.type.count
        return self.build.select(
            kept, equal(self.build, value, width), constant(self.real, 0.0, width)
        )

    def reals(self, place: Any, width: int) -> Any:
        """Emit the load of what comes, bf16 as fp32."""
        values = self.load(self.values, place, width)
        if self._is_bf16:
            return from_bf16(self.build, values)
        return self.build.bitcast(values, ir.VectorType(self.real, width))

    def store_reals(self, values: Any, place: Any) -> None:
        """Emit the store of what goes, rounded already."""
        kind = ir.VectorType(self.element, values.type.count)
        if self._is_bf16:
            bits = bits_of_bf16(self.build, values)
        else:
            bits = self.build.bitcast(values, kind)
        self.store(bits, self.result, place)

    def rounded(self, values: Any) -> Any:
        """Emit the rounding to the type of the numbers."""
        return rounded_to_bf16(self.build, values) if self._is_bf16 else values
