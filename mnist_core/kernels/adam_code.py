"""LLVM's code of a step of Adam or AdamW, in the order of operations of torch's fused one."""

from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import LONG, Code, constant
from mnist_core.kernels.formats import PART

WIDTH = 16
"""The number of weights must be a multiple of it: torch computes the rest in another way."""

_FLOAT, _WORD, _SHORT = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_FLOATS, _WORDS = (ir.VectorType(one, WIDTH) for one in (_FLOAT, _WORD))


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
    for i in code.vectors():
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
        code.store(code.rounded(weight), code.copy, i)
    return code.text()


class _Adam(Code):
    """The kernel under construction."""

    def __init__(self, *, half: bool) -> None:
        super().__init__()
        build = self.build
        held = (Argument.WEIGHTS, Argument.MEANS, Argument.SQUARES)
        self.state = [self.address(which, _WORD) for which in held]
        self.copy = self.address(Argument.COPY, _SHORT)
        self._half = half
        self._gradient = self.address(Argument.GRADIENT, _SHORT if half else _WORD)
        self.numbers = {which: self._number(which) for which in [*Argument][Argument.DECAY :]}
        self._inverse = build.fdiv(constant(_FLOAT, 1.0, WIDTH), self.numbers[Argument.ROOT])
        self._minus_root = build.fneg(self.numbers[Argument.ROOT])
        self._fma, self._sqrt = (self._operation("fma", 3), self._operation("sqrt", 1))

    def vectors(self) -> Any:
        """Emit the loops over the weights; yield a place inside."""
        build, numbers = self.build, self.argument(Argument.NUMBERS)
        with self.each_part(self.argument(Argument.PARTS)) as part:
            start = build.mul(part, LONG(PART))
            stop = build.add(start, LONG(PART))
            stop = build.select(build.icmp_signed("<", stop, numbers), stop, numbers)
            with self.loop(start, stop, WIDTH) as place:
                yield place

    def floats(self, base: Any, place: Any) -> Any:
        """Emit a load."""
        return self.build.bitcast(self.load(base, place, WIDTH), _FLOATS)

    def gradient(self, place: Any) -> Any:
        """Emit the load of the gradient."""
        bits = self.load(self._gradient, place, WIDTH)
        if self._half:
            bits = self.build.shl(self.build.zext(bits, _WORDS), constant(_WORD, 16, WIDTH))
        return self.build.bitcast(bits, _FLOATS)

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

    def rounded(self, values: Any) -> Any:
        """Emit the bits of bf16 nearest to ``values``, of two the even ones."""
        build = self.build
        bits = build.bitcast(values, _WORDS)
        upper = build.lshr(bits, constant(_WORD, 16, WIDTH))
        odd = build.and_(upper, constant(_WORD, 1, WIDTH))
        bits = build.add(bits, build.add(odd, constant(_WORD, 0x7FFF, WIDTH)))
        bits = build.lshr(bits, constant(_WORD, 16, WIDTH))
        # Rounding could carry a NaN over into a number.
        is_nan = build.fcmp_unordered("uno", values, values)
        bits = build.select(is_nan, constant(_WORD, 0x7FC0, WIDTH), bits)
        return build.trunc(bits, ir.VectorType(_SHORT, WIDTH))

    def _number(self, which: Argument) -> Any:
        bits = self.build.bitcast(self.argument(which), ir.DoubleType())
        kind = ir.Constant(_FLOATS, ir.Undefined)
        one = self.build.insert_element(kind, self.build.fptrunc(bits, _FLOAT), LONG(0))
        return self.build.shuffle_vector(one, one, constant(_WORD, 0, WIDTH))

    def _operation(self, name: str, operands: int) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * operands)
        return ir.Function(self.build.module, kind, f"llvm.{name}.v16f32")
