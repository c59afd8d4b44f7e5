"""LLVM's code for vectors: equal numbers, and bf16 as the upper half of fp32."""

from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import constant

SHORT, WORD, FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()


def equal(build: Any, value: Any, width: int) -> Any:
    """Emit a vector of ``width`` times the same number."""
    kind = ir.VectorType(value.type, width)
    one = build.insert_element(ir.Constant(kind, ir.Undefined), value, WORD(0))
    return build.shuffle_vector(one, one, constant(WORD, 0, width))


def from_bf16(build: Any, bits: Any) -> Any:
    """Emit the fp32 numbers of which bf16 has these bits."""
    width = bits.type.count
    words = build.shl(build.zext(bits, _of(WORD, bits)), constant(WORD, 16, width))
    return build.bitcast(words, _of(FLOAT, bits))


def rounded_to_bf16(build: Any, values: Any) -> Any:
    """Emit the nearest numbers that bf16 has, of two the even ones, as fp32, as torch does."""
    width = values.type.count
    bits = build.bitcast(values, _of(WORD, values))
    odd = build.and_(build.lshr(bits, constant(WORD, 16, width)), constant(WORD, 1, width))
    bits = build.add(bits, build.add(odd, constant(WORD, 0x7FFF, width)))
    bits = build.and_(bits, constant(WORD, 0xFFFF_0000, width))
    # Rounding could carry a NaN over into a number.
    is_nan = build.fcmp_unordered("uno", values, values)
    return build.select(is_nan, values, build.bitcast(bits, values.type))


def bits_of_bf16(build: Any, values: Any) -> Any:
    """Emit the bits of fp32 numbers that bf16 has."""
    bits = build.bitcast(values, _of(WORD, values))
    bits = build.lshr(bits, constant(WORD, 16, values.type.count))
    return build.trunc(bits, _of(SHORT, values))


def _of(element: Any, vector: Any) -> Any:
    return ir.VectorType(element, vector.type.count)
