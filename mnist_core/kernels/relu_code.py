"""LLVM's code of a ReLU, and of its gradient; IEEE numbers are compared as integers."""

from mnist_core.kernels.code import constant
from mnist_core.kernels.flat_code import FlatCode
from mnist_core.kernels.formats import Format


def forward(form: Format) -> str:
    """Return the code of ``kernel``, which notes which numbers the gradient passes."""
    code = FlatCode(form)
    build = code.build
    negative_zero = form.sign
    negative_infinity = form.sign | form.infinity
    for place, width in code.vectors():
        value = code.load(code.values, place, width)
        zero, minus_zero, minus_infinity = (
            constant(code.element, bits, width) for bits in (0, negative_zero, negative_infinity)
        )
        # As signed integers: -0.0, negative numbers, -infinity, negative NaN, 0.0, positive ones.
        above = build.icmp_signed(">", value, minus_infinity)
        code.note(build.and_(above, build.icmp_signed("!=", value, zero)), place)
        # torch keeps -0.0.
        kept = build.or_(above, build.icmp_signed("==", value, minus_zero))
        code.store(build.select(kept, value, zero), code.result, place)
    return code.text()


def backward(form: Format) -> str:
    """Return the code of ``kernel``, which stops the gradient where the ReLU was off."""
    code = FlatCode(form)
    for place, width in code.vectors():
        gradient = code.load(code.values, place, width)
        zero = constant(code.element, 0, width)
        passed = code.build.select(code.noted(place, width), gradient, zero)
        code.store(passed, code.result, place)
    return code.text()
