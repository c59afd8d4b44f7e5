"""LLVM's code of the statistics of batch norm: what each channel is normed with."""

from typing import Any

from llvmlite import ir

from mnist_core.kernels.code import LONG
from mnist_core.kernels.floats import DOUBLE, FLOAT
from mnist_core.kernels.formats import Format
from mnist_core.kernels.norm_arguments import Argument, Term
from mnist_core.kernels.norm_code import NormCode


def means(form: Format) -> str:
    """Return the code of ``kernel``, which writes the means of the channels."""
    code = NormCode(form)
    build = code.build
    with code.each_part(code.parts) as part:
        _sum_up(code, part, lambda total, value, channel: build.fadd(total, value))
        with code.last_part(), code.loop(LONG(0), code.channels) as channel:
            pixels = build.sitofp(code.pixels, code.total_type)
            mean = code.from_total(build.fdiv(code.total(0, channel), pixels))
            code.set_number(mean, code.terms, code.term_place(Term.MEAN, channel))
    return code.text()


def deviations(form: Format) -> str:
    """Return the code of ``kernel``, which writes the other terms and the running statistics."""
    code = NormCode(form)
    build = code.build

    def squares(total: Any, value: Any, mean: Any) -> Any:
        difference = build.fsub(value, mean)
        return code.floats.fma(difference, difference, total)

    with code.each_part(code.parts) as part:
        _sum_up(code, part, squares)
        with code.last_part(), code.loop(LONG(0), code.channels) as channel:
            total = code.from_total(code.total(0, channel))
            variance = build.fdiv(total, build.sitofp(code.pixels, FLOAT))
            epsilon = build.bitcast(code.argument(Argument.EPSILON), DOUBLE)
            root = _root(code, build.fadd(build.fpext(variance, DOUBLE), epsilon))
            inverse = build.fptrunc(build.fdiv(DOUBLE(1.0), root), FLOAT)
            mean = code.number(code.terms, code.term_place(Term.MEAN, channel))
            _write_terms(code, channel, mean, inverse)
            _update(code, channel, mean, total)
    return code.text()


def evaluation(form: Format) -> str:
    """Return the code of ``kernel``, which makes the terms of the running statistics."""
    code = NormCode(form)
    build = code.build
    epsilon = build.bitcast(code.argument(Argument.EPSILON), DOUBLE)
    with code.loop(LONG(0), code.channels) as channel:
        mean = code.number(code.numbers(Argument.RUNNING_MEAN), channel)
        variance = code.number(code.numbers(Argument.RUNNING_VARIANCE), channel)
        root = _root(code, build.fadd(variance, build.fptrunc(epsilon, FLOAT)))
        _write_terms(code, channel, mean, build.fdiv(FLOAT(1.0), root))
    return code.text()


def _sum_up(code: NormCode, part: Any, add: Any) -> None:
    """Emit the first sum of a part; ``add`` makes a sum, a value and a mean the next sum."""
    code.clear_sums(part, 1)
    for start, stop in code.stretches(*code.pixels_of(part)):
        for channel, width in code.blocks():
            place = code.sum_place(0, part, channel)
            mean = code.term(Term.MEAN, channel, width)
            with code.fold([code.load(code.sums, place, width)], start, stop) as turn:
                there = code.build.add(code.build.mul(turn.index, code.channels), channel)
                value = code.floats.widened(code.load(code.maps, there, width))
                turn.values = [add(turn.values[0], value, mean)]
            code.store(turn.values[0], code.sums, place)


def _write_terms(code: NormCode, channel: Any, mean: Any, inverse: Any) -> None:
    weight, bias = (
        code.number(code.numbers(which), channel) for which in (Argument.WEIGHT, Argument.BIAS)
    )
    factor = code.build.fmul(inverse, weight)
    terms = {
        Term.MEAN: mean,
        Term.INVERSE_DEVIATION: inverse,
        Term.FACTOR: factor,
        Term.SUMMAND: code.floats.fnma(mean, factor, bias),
    }
    for which, value in terms.items():
        code.set_number(value, code.terms, code.term_place(which, channel))


def _update(code: NormCode, channel: Any, mean: Any, squares: Any) -> None:
    """Emit the step of the running statistics, with the unbiased variance."""
    build = code.build
    word = build.trunc(code.argument(Argument.MOMENTUM), ir.IntType(32))
    momentum = build.bitcast(word, FLOAT)
    others = build.fsub(FLOAT(1.0), momentum)
    running = code.numbers(Argument.RUNNING_MEAN)
    kept = build.fmul(others, code.number(running, channel))
    code.set_number(build.fadd(build.fmul(momentum, mean), kept), running, channel)
    degrees = build.sitofp(build.sub(code.pixels, LONG(1)), FLOAT)
    variance = code.to_total(build.fdiv(squares, degrees))
    running = code.numbers(Argument.RUNNING_VARIANCE)
    kept = code.to_total(build.fmul(others, code.number(running, channel)))
    added = build.fmul(code.to_total(momentum), variance)
    code.set_number(code.from_total(build.fadd(added, kept)), running, channel)


def _root(code: NormCode, value: Any) -> Any:
    return code.intrinsic("llvm.sqrt", value)
