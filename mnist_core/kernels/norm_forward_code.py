"""LLVM's code of the pass that norms the maps, with a 2 x 2 max pooling and a ReLU behind it."""

from typing import Any

from mnist_core.kernels.code import BYTE, LONG, constant
from mnist_core.kernels.formats import Format
from mnist_core.kernels.norm_arguments import Argument, Term
from mnist_core.kernels.norm_code import NormCode
from mnist_core.kernels.windows import order, winner


def forward(form: Format, *, pool: bool, relu: bool) -> str:
    """Return the code of ``kernel``, which writes the output, and what the backward pass needs."""
    code = NormCode(form)
    wanted = code.build.icmp_signed("!=", code.argument(Argument.PLACES), LONG(0))
    with code.each_part(code.images) as image:
        if pool:
            _pooled(code, image, wanted, relu=relu)
        else:
            _normed(code, image, relu=relu)
    return code.text()


def _normed(code: NormCode, image: Any, *, relu: bool) -> None:
    build = code.build
    with code.loop(LONG(0), code.rows) as row:
        first = build.mul(build.add(build.mul(image, code.rows), row), code.columns)
        for channel, width in code.blocks():
            terms = _terms(code, channel, width)
            with code.loop(first, build.add(first, code.columns)) as pixel:
                place = build.add(build.mul(pixel, code.channels), channel)
                value = _norm(code, code.load(code.maps, place, width), terms)
                if relu:
                    above, _ = order(build, code.form, value)
                    zero = constant(code.element, 0, width)
                    value = build.select(build.icmp_signed(">=", above, zero), value, zero)
                code.store(value, code.output, place)


def _pooled(code: NormCode, image: Any, wanted: Any, *, relu: bool) -> None:
    build = code.build
    with code.loop(LONG(0), code.pooled_rows) as i:
        row = build.add(build.mul(image, code.rows), build.shl(i, LONG(1)))
        first = build.mul(row, code.columns)
        pooled_row = build.add(build.mul(image, code.pooled_rows), i)
        first_pooled = build.mul(pooled_row, code.pooled_columns)
        for channel, width in code.blocks():
            terms = _terms(code, channel, width)
            with code.loop(LONG(0), code.pooled_columns) as j:
                pixel = build.add(first, build.shl(j, LONG(1)))
                values = [
                    code.load(code.maps, place, width) for place in four(code, pixel, channel)
                ]
                normed = [_norm(code, value, terms) for value in values]
                pooled = build.add(build.mul(build.add(first_pooled, j), code.channels), channel)
                best, places = winner(build, code.form, normed, relu=relu)
                code.store(best, code.output, pooled)
                with build.if_then(wanted):
                    code.store(places, code.places, pooled)
                    code.store(_chosen(code, values, places), code.winners, pooled)


def four(code: NormCode, pixel: Any, channel: Any) -> list[Any]:
    """Emit where the four numbers of a window lie whose upper left pixel is ``pixel``."""
    build = code.build
    here = build.add(build.mul(pixel, code.channels), channel)
    below = build.add(here, build.mul(code.columns, code.channels))
    return [place for row in (here, below) for place in (row, build.add(row, code.channels))]


def _terms(code: NormCode, channel: Any, width: int) -> tuple[Any, Any]:
    return code.term(Term.FACTOR, channel, width), code.term(Term.SUMMAND, channel, width)


def _norm(code: NormCode, value: Any, terms: tuple[Any, Any]) -> Any:
    return code.floats.narrowed(code.floats.fma(code.floats.widened(value), *terms))


def _chosen(code: NormCode, values: list[Any], places: Any) -> Any:
    """Emit the values at ``places``; where a ReLU stopped the gradient, any."""
    chosen = values[0]
    for n, value in enumerate(values[1:], start=1):
        here = code.build.icmp_signed("==", places, constant(BYTE, n, places.type.count))
        chosen = code.build.select(here, value, chosen)
    return chosen
