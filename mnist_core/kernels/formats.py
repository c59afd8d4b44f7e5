"""The types of numbers that the kernels compute with, and how many are computed together."""

from dataclasses import dataclass

BLOCK = 8
"""The number of channels must be a multiple of it."""

PART = 16_384
"""Numbers of a long row that a thread takes at once."""

STATE = 624
"""32-bit words of a state of the Mersenne Twister (Matsumoto & Nishimura 1998)."""


@dataclass(frozen=True)
class Format:
    """A type of IEEE floating-point numbers.

    Attributes:
        bits: of a number.
        infinity: the bits of +infinity.
    """

    bits: int
    infinity: int

    @property
    def sign(self) -> int:
        """The bits of -0.0, as a signed integer."""
        return -(1 << (self.bits - 1))

    @property
    def magnitude(self) -> int:
        """All bits but the sign."""
        return (1 << (self.bits - 1)) - 1


FORMATS = {
    "bfloat16": Format(16, 0x7F80),
    "float16": Format(16, 0x7C00),
    "float32": Format(32, 0x7F80_0000),
    "float64": Format(64, 0x7FF0_0000_0000_0000),
}
"""By the name of torch's type."""
