"""LLVM's code of a step of Adam or AdamW, in the order of operations of torch's fused one."""

from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.bf16_code import (
    FLOAT,
    SHORT,
    WORD,
    bits_of_bf16,
    equal,
    from_bf16,
    rounded_to_bf16,
)
from mnist_core.kernels.code import Code, constant
from mnist_core.kernels.flat_code import vectors

WIDTH = 16
"""The number of weights must be a multiple of it: torch computes the rest in another way."""

_FLOATS, _WORDS = (ir.VectorType(one, WIDTH) for one in (FLOAT, WORD))


class Argument(IntEnum):
    """Positions in the array of int64 that the kernel is called with; numbers: the bits of fp64."""

    NEXT = 0  # part that no thread has taken
    PARTS = auto()
    NUMBERS = auto()
    WEIGHTS = auto()  # address, as the next four
    GRADIENT = auto()
    MEANS = auto()  # of the gradients
    SQUARES = auto()  # means of the squares
    COPY = auto()  # of the weights in bf16
    DECAY = auto()  # 1 - lr * weight decay (AdamW), or the weight decay
    MEAN_SHARE = auto()  # 1 - beta1
    SQUARE_KEPT = auto()  # beta2
    SQUARE_SHARE = auto()  # 1 - beta2
    ROOT = auto()  # of the correction of the squares
    EPS = auto()
    STEP = auto()  # -lr / the correction of the means


def step(*, decay: str, half: bool) -> str:
    """Return the code of ``kernel``; decay: none, weights or gradient; half: gradient in bf16."""
    code = _Adam(half=half)
    build, number = code.build, code.numbers
    numbers, parts = code.argument(Argument.NUMBERS), code.argument(Argument.PARTS)
    for i, _ in vectors(code, numbers, parts, (WIDTH,)):
        weight, mean, square = (code.floats(one, i) for one in code.state)
        gradient = code.gradient(i)
        if decay == "weights":
            weight = build.fmul(weight, number[Argument.DECAY])
        elif decay == "gradient":
            gradient = code.fma(weight, number[Argument.DECAY], gradient)
        mean = code.fma(number[Argument.MEAN_SHARE], build.fsub(gradient, mean), mean)
        share = build.fmul(number[Argument.SQUARE_SHARE], gradient)
        square = code.fma(share, gradient, build.fmul(square, number[Argument.SQUARE_KEPT]))
        size = build.fadd(code.over_root(code.root(square)), number[Argument.EPS])
        change = build.fdiv(build.fmul(number[Argument.STEP], mean), size)
        weight = build.fadd(weight, change)
        for value, base in zip((weight, mean, square), code.state, strict=True):
            code.store(build.bitcast(value, _WORDS), base, i)
        code.store(bits_of_bf16(build, rounded_to_bf16(build, weight)), code.copy, i)
    return code.text()


class _Adam(Code):
    """The kernel under construction."""

    def __init__(self, *, half: bool) -> None:
        super().__init__()
        build = self.build
        held = (Argument.WEIGHTS, Argument.MEANS, Argument.SQUARES)
        self.state = [self.address(which, WORD) for which in held]
        self.copy = self.address(Argument.COPY, SHORT)
        self._half = half
        self._gradient = self.address(Argument.GRADIENT, SHORT if half else WORD)
        self.numbers = {which: self._number(which) for which in [*Argument][Argument.DECAY :]}
        self._inverse = build.fdiv(constant(FLOAT, 1.0, WIDTH), self.numbers[Argument.ROOT])
        self._minus_root = build.fneg(self.numbers[Argument.ROOT])
        self._fma, self._sqrt = (self._operation("fma", 3), self._operation("sqrt", 1))

    def floats(self, base: Any, place: Any) -> Any:
        """Emit a load."""
        return self.build.bitcast(self.load(base, place, WIDTH), _FLOATS)

    def gradient(self, place: Any) -> Any:
        """Emit the load of the gradient."""
        bits = self.load(self._gradient, place, WIDTH)
        return from_bf16(self.build, bits) if self._half else self.build.bitcast(bits, _FLOATS)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Emit ``a * b + c``, rounded once."""
        return self.build.call(self._fma, [a, b, c])

    def root(self, value: Any) -> Any:
        """Emit the square root."""
        return self.build.call(self._sqrt, [value])

    def over_root(self, value: Any) -> Any:
        """Emit ``value`` / ROOT, correctly rounded."""
        # A product with the inverse, and what it leaves over (Markstein 1990): a division takes 16
        # cycles, and of the kernel's three operations that long it is the one that can be spared.
        near = self.build.fmul(value, self._inverse)
        rest = self.fma(self._minus_root, near, value)
        exact = self.fma(rest, self._inverse, near)
        is_number = self.build.fcmp_ordered("ord", rest, rest)  # of infinity the rest is NaN
        return self.build.select(is_number, exact, near)

    def _number(self, which: Argument) -> Any:
        bits = self.build.bitcast(self.argument(which), ir.DoubleType())
        return equal(self.build, self.build.fptrunc(bits, FLOAT), WIDTH)

    def _operation(self, name: str, operands: int) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * operands)
        return ir.Function(self.build.module, kind, f"llvm.{name}.v16f32")
