"""LLVM's code of a ReLU, and of its gradient; IEEE numbers are compared as integers."""

from typing import Any

from mnist_core.kernels.code import constant
from mnist_core.kernels.flat_code import Argument, FlatCode
from mnist_core.kernels.floats import Floats
from mnist_core.kernels.formats import Format

ADDED = len(Argument)
"""Address of the other summands."""


def forward(form: Format) -> str:
    """Return the code of ``kernel``, which notes which numbers the gradient passes."""
    code = FlatCode(form)
    for place, width in code.vectors():
        _rectify(code, code.load(code.values, place, width), place)
    return code.text()


def forward_of_sum(form: Format) -> str:
    """Return the code of ``kernel``, which does so with sums; ``ADDED`` is its own argument."""
    code = FlatCode(form)
    floats = Floats(code, form)
    added = code.address(ADDED, code.element)
    for place, width in code.vectors():
        first, second = (
            floats.widened(code.load(numbers, place, width)) for numbers in (code.values, added)
        )
        # torch rounds the sum before its ReLU.
        _rectify(code, floats.narrowed(code.build.fadd(first, second)), place)
    return code.text()


def _rectify(code: FlatCode, value: Any, place: Any) -> None:
    build, width, form = code.build, value.type.count, code.form
    zero, minus_zero, minus_infinity = (
        constant(code.element, bits, width) for bits in (0, form.sign, form.sign | form.infinity)
    )
    # As signed integers: -0.0, negative numbers, -infinity, negative NaN, 0.0, positive ones.
    above = build.icmp_signed(">", value, minus_infinity)
    code.note(build.and_(above, build.icmp_signed("!=", value, zero)), place)
    # torch keeps -0.0.
    kept = build.or_(above, build.icmp_signed("==", value, minus_zero))
    code.store(build.select(kept, value, zero), code.result, place)


def backward(form: Format) -> str:
    """Return the code of ``kernel``, which stops the gradient where the ReLU was off."""
    code = FlatCode(form)
    for place, width in code.vectors():
        gradient = code.load(code.values, place, width)
        zero = constant(code.element, 0, width)
        passed = code.build.select(code.noted(place, width), gradient, zero)
        code.store(passed, code.result, place)
    return code.text()
