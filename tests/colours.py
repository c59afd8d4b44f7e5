"""Colours as eyes see them: contrast, colour-blindness, and how far apart two of them are."""

SIGHTS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
    "grey": ((0.2126, 0.7152, 0.0722),) * 3,
}  # fmt: skip
"""Of linear RGB: Machado et al. 2009 (doi:10.1109/TVCG.2009.113), severity 1; and grey."""

_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)


def linear(colour: str) -> tuple[float, ...]:
    """Red, green and blue of ``#rrggbb`` as amounts of light, 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)


def _through(rows: tuple[tuple[float, ...], ...], light: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(m * c for m, c in zip(row, light, strict=True)) for row in rows)


def seen_light(colour: str, sight: str) -> tuple[float, ...]:
    return tuple(min(1.0, max(0.0, c)) for c in _through(SIGHTS[sight], linear(colour)))


def seen(colour: str, sight: str) -> float:
    """The luminance, 0 to 1, that somebody sees."""
    red, green, blue = seen_light(colour, sight)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def luminance(colour: str) -> float:
    """Of sRGB, as WCAG 2.2 defines it."""
    return seen(colour, "normal")


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def faded(colour: str, ground: str, opacity: float) -> str:
    both = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in both)


def distance(one: str, other: str, sight: str) -> float:
    """The distance in CIE L*a*b* that somebody sees; about 2 can just be told apart."""
    pairs = zip(_lab(one, sight), _lab(other, sight), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


def _lab(colour: str, sight: str) -> tuple[float, float, float]:
    amounts = _through(_XYZ, seen_light(colour, sight))
    x, y, z = (_bent(amount / white) for amount, white in zip(amounts, _WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _bent(amount: float) -> float:
    return amount ** (1 / 3) if amount > 216 / 24389 else (24389 / 27 * amount + 16) / 116
