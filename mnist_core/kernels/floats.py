"""LLVM's code for arithmetic in fp32 on numbers that lie in memory as bf16 or fp32."""

from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import Code, constant
from mnist_core.kernels.formats import Format

FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
_WORD = ir.IntType(32)
_BF16 = 16
_HALF_OF_LEAST = 2.0**-134
"""Half of the least positive number of bf16: this and less is rounded to 0."""


class Floats:
    """Vectors of the bits of numbers, and vectors of fp32."""

    def __init__(self, code: Code, form: Format) -> None:
        self._code, self._build, self._form = code, code.build, form

    def widened(self, bits: Any) -> Any:
        """Emit the numbers of which these are the bits, as fp32."""
        floats = ir.VectorType(FLOAT, bits.type.count)
        if self._form.bits != _BF16:
            return self._build.bitcast(bits, floats)
        words = self._build.zext(bits, ir.VectorType(_WORD, bits.type.count))
        words = self._build.shl(words, constant(_WORD, 16, bits.type.count))
        return self._build.bitcast(words, floats)

    def narrowed(self, floats: Any) -> Any:
        """Emit the bits of numbers, rounded to the nearest, of two equally near to the even one."""
        build, width = self._build, floats.type.count
        bits = build.bitcast(floats, ir.VectorType(_WORD, width))
        if self._form.bits != _BF16:
            return bits
        upper = build.lshr(bits, constant(_WORD, 16, width))
        odd = build.and_(upper, constant(_WORD, 1, width))
        up = build.add(bits, build.add(odd, constant(_WORD, 0x7FFF, width)))
        # Of a NaN the addition could make an infinity.
        is_nan = build.fcmp_unordered("uno", floats, floats)
        rounded = build.lshr(up, constant(_WORD, 16, width))
        rounded = build.select(is_nan, constant(_WORD, 0xFFFF, width), rounded)
        return build.trunc(rounded, ir.VectorType(ir.IntType(_BF16), width))

    def above_zero(self, floats: Any) -> Any:
        """Emit whether numbers are above 0, or NaN, once they are rounded."""
        limit = _HALF_OF_LEAST if self._form.bits == _BF16 else 0.0
        above = constant(FLOAT, limit, floats.type.count)
        return self._build.fcmp_unordered("ugt", floats, above)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Emit ``a * b + c``, rounded once."""
        return self._code.intrinsic("llvm.fma", a, b, c)

    def fnma(self, a: Any, b: Any, c: Any) -> Any:
        """Emit ``c - a * b``, rounded once."""
        return self.fma(self._build.fneg(a), b, c)
