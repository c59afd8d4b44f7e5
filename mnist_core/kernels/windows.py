"""LLVM's code for the largest of the four numbers of a window, as torch chooses it.

Of equal values the first of a window wins, and of several NaNs the last. Why the order of integers
will do: IEEE numbers of one sign are ordered as their bits are.
"""

from collections.abc import Sequence
from typing import Any

from mnist_core.kernels.code import BYTE, constant
from mnist_core.kernels.formats import Format

NO_PLACE = 4
"""The four places of a window are 0 to 3. Here a ReLU stopped the gradient."""


def winner(build: Any, form: Format, values: Sequence[Any], *, relu: bool) -> tuple[Any, Any]:
    """Emit the comparison of vectors; return the largest values and their places, a byte each."""
    element, width = values[0].type.element, values[0].type.count
    best, place = values[0], constant(BYTE, 0, width)
    largest, _ = order(build, form, best)
    for n, value in enumerate(values[1:], start=1):
        value_order, is_nan = order(build, form, value)
        better = build.or_(build.icmp_signed(">", value_order, largest), is_nan)
        best = build.select(better, value, best)
        largest = build.select(better, value_order, largest)
        place = build.select(better, constant(BYTE, n, width), place)
    if relu:  # NaN is above all numbers and stays
        zero = constant(element, 0, width)
        best = build.select(build.icmp_signed(">=", largest, zero), best, zero)
        positive = build.icmp_signed(">", largest, zero)
        place = build.select(positive, place, constant(BYTE, NO_PLACE, width))
    return best, place


def order(build: Any, form: Format, value: Any) -> tuple[Any, Any]:
    """Emit integers that are ordered as the numbers are; also return which are NaN."""
    element, width = value.type.element, value.type.count
    magnitudes = constant(element, form.magnitude, width)
    magnitude = build.and_(value, magnitudes)
    is_nan = build.icmp_signed(">", magnitude, constant(element, form.infinity, width))
    # -magnitude of a negative number, in two's complement; so both zeros are 0.
    sign = build.ashr(value, constant(element, form.bits - 1, width))
    signed = build.sub(build.xor(magnitude, sign), sign)
    return build.select(is_nan, magnitudes, signed), is_nan
