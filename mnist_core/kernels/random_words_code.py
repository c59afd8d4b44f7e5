"""LLVM's code of torch's random generator, the Mersenne Twister (Matsumoto & Nishimura 1998)."""

from enum import IntEnum, auto
from typing import Any

from llvmlite import ir

from mnist_core.kernels.bf16_code import WORD
from mnist_core.kernels.code import BYTE, LONG, Code, constant
from mnist_core.kernels.formats import STATE

_AHEAD = 397  # the third word that a new one is made of
_WIDE = 16  # words made together: fewer than the 227 that lie between the third word and the new


class Argument(IntEnum):
    """Arguments of ``draw``."""

    STATE = 0  # address of torch's state: 8 bytes, int32 left, int32, int64 next, int64[624]
    WORDS = auto()  # address of the words, uint32, before they are tempered; the state's first
    BLOCKS = auto()  # of 624 words, to be made after the state's
    NEXT = auto()  # position in the last block of the word that is drawn next


def draw() -> str:
    """Return the code of ``kernel``, which makes random words and moves the generator on."""
    code = Code()
    build = code.build
    state, words = code.address(Argument.STATE, BYTE), code.address(Argument.WORDS, WORD)
    left, following, own = (
        build.bitcast(build.gep(state, [LONG(offset)]), kind.as_pointer())
        for offset, kind in ((8, WORD), (16, LONG), (24, LONG))
    )
    start = build.mul(code.argument(Argument.BLOCKS), LONG(STATE))
    with code.loop(LONG(0), LONG(STATE), _WIDE) as i:
        code.store(build.trunc(code.load(own, i, _WIDE), ir.VectorType(WORD, _WIDE)), words, i)
    with code.loop(LONG(0), start, _WIDE) as i:
        a, b, c = (code.load(words, build.add(i, LONG(n)), _WIDE) for n in (0, 1, _AHEAD))
        mixed = build.or_(build.and_(a, _words(0x8000_0000)), build.and_(b, _words(0x7FFF_FFFF)))
        odd = build.sub(_words(0), build.and_(b, _words(1)))
        twisted = build.xor(build.lshr(mixed, _words(1)), build.and_(odd, _words(0x9908_B0DF)))
        code.store(build.xor(c, twisted), words, build.add(i, LONG(STATE)))
    with code.loop(LONG(0), LONG(STATE), _WIDE) as i:
        last = code.load(words, build.add(start, i), _WIDE)
        code.store(build.zext(last, ir.VectorType(LONG, _WIDE)), own, i)
    next_ = code.argument(Argument.NEXT)
    build.store(next_, following)
    build.store(build.trunc(build.sub(LONG(STATE + 1), next_), WORD), left)
    return code.text()


def tempered(code: Code, word: Any) -> Any:
    """Emit the numbers that torch draws 64 bits at a time, from a vector of words."""
    build, count = code.build, word.type.count
    word = build.xor(word, build.lshr(word, _words(11, count)))
    for shift, mask in ((7, 0x9D2C_5680), (15, 0xEFC6_0000)):
        shifted = build.shl(word, _words(shift, count))
        word = build.xor(word, build.and_(shifted, _words(mask, count)))
    word = build.xor(word, build.lshr(word, _words(18, count)))
    # torch draws the upper half of 64 bits first.
    order = ir.Constant(ir.VectorType(WORD, count), [i ^ 1 for i in range(count)])
    return build.shuffle_vector(word, word, order)


def _words(value: int, width: int = _WIDE) -> Any:
    return constant(WORD, value, width)
