"""Pictures of any kind made into images as MNIST's: 28x28, light ink on a dark ground, centred.

As for MNIST (yann.lecun.com/exdb/mnist), the digit is scaled to a box of 20x20 and its centre of
mass is moved to the middle.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_core.data import file_kinds
from mnist_core.data.idx import one_line
from mnist_core.errors import DataError

SIDE, BOX = 28, 20
SUFFIXES = file_kinds.PICTURES
"""Of the files that are taken from a folder; a file that is named may have any."""

Grey = npt.NDArray[np.float64]

_SMALLEST = 5  # pixels to a side: the least in which a digit can be drawn

_LARGE = 200
"""Pixels to the longer side: what has twice as many or more is shrunk before it is looked at."""

_MANY = 1_000_000  # pixels: what has more is shrunk in any case
_FLAT = 0.06  # least difference of ink and ground, as a fraction of the scale from black to white

# A model has seen ink of full strength only, as any ink of a picture that is centred is.
_PALE = 0.25  # of a 28x28 picture in MNIST's format: ink that is weaker is brought to full strength
_DEPTHS = (1, 8, 10, 12, 14, 16)  # bits a pixel that cameras and scanners store in 16 bits
_EDGE = 0.3  # from which share of the strongest ink on a pixel belongs to the digit's box
_SPECK = 0.02  # what has less than this share of the ink of the largest stroke is dirt

_EVEN = 0.1
"""How far the ground of an image in MNIST's format may vary at its border: JPEG changes it."""

_EVEN_SHARE = 0.8  # of the border's pixels; a stroke may touch it

_CENTRE = 14
"""Row and column, from 0, of the centre of mass, as measured in MNIST's images: 14.0 ± 0.29."""


@dataclass(frozen=True)
class Digit:
    """A picture as a model takes it."""

    image: npt.NDArray[np.uint8]  # uint8 ``[28, 28]``, 0 (ground) to 255 (ink)
    note: str


def read(path: Path, *, invert: bool | None = None, raw: bool = False) -> Digit:
    """Read a picture of any format that Pillow knows.

    A picture of 28x28 with an even border is in MNIST's format: it is only inverted if its ground
    is light, and brought to full strength if it is pale.

    Args:
        invert: whether the ground is light; None: whether what stands out from it is darker.
        raw: only turn it to grey and scale it to 28x28; then it is inverted only if ``invert``.

    Raises:
        DataError: if it is missing, not a picture, too large or small, or shows nothing.
    """
    grey = _read_grey(path)
    if raw:
        small = grey if grey.shape == (SIDE, SIDE) else _resize(grey, SIDE, SIDE)
        return Digit(_to_bytes(1 - small if invert else small), "inverted" if invert else "raw")
    if min(grey.shape) < _SMALLEST:
        rows, columns = grey.shape
        raise DataError(
            f"{one_line(path)}: has too few pixels to a side to show a digit ({columns}x{rows} as"
            " it is looked at); with --raw it is taken as it is"
        )
    ink, noise = _without_ground(grey)
    if invert is None:
        beyond = np.where(np.abs(ink) > 3 * noise, ink, 0)
        invert = bool(beyond.sum() < 0)
    note = "inverted" if invert else "as it is"
    strongest = float(np.abs(ink).max())
    in_format = grey.shape == (SIDE, SIDE) and _is_even(_border(grey))
    if in_format and strongest >= max(_PALE, 6 * noise):
        return Digit(_to_bytes(1 - grey if invert else grey), note)
    ink = np.clip(-ink if invert else ink, 0, None)
    ink[ink < 2 * noise] = 0
    if ink.max() < max(_FLAT, 6 * noise):
        raise DataError(
            f"{one_line(path)}: shows nothing: no ink stands out from its ground; with --raw it is"
            " taken as it is"
        )
    if in_format:
        return Digit(_to_bytes(ink / ink.max()), f"{note}, pale ink made strong")
    edge = max(_EDGE, 4 * noise / float(ink.max()))
    image = _as_mnist(_without_specks(ink / ink.max(), edge), edge)
    return Digit(_to_bytes(image), f"{note}, centred" if invert else "centred")


def centred(ink: Grey) -> npt.NDArray[np.uint8]:
    """Return ink ``[rows, columns]``, 0 to 1 and 1 somewhere, as an image of MNIST's form.

    That is uint8 ``[28, 28]``. Nothing is taken away: what is drawn has neither ground nor dirt.
    """
    return _to_bytes(_as_mnist(ink))


def _without_ground(grey: Grey) -> tuple[Grey, float]:
    """Return how much lighter than the ground each pixel is, and the ground's deviation."""
    # Light falls off smoothly over a sheet: its ground is a surface of second order, fitted to all
    # pixels but those that lie off it, which are ink. The border says where the ground begins.
    border = _border(grey)
    values, counts = np.unique(border, return_counts=True)
    if counts.max() >= len(border) / 2:  # drawn: nothing is to be taken away
        return grey - values[counts.argmax()], 0.0
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    at_border = _border(terms)[:, :3]
    chosen = np.ones(len(border), bool)
    for _ in range(4):  # a stroke may touch the border
        weights = _fit(at_border[chosen], border[chosen])
        off = border - at_border @ weights
        noise = _spread(off)
        chosen = np.abs(off) <= 3 * noise + 1e-9
    ground = terms[..., :3] @ weights
    for _ in range(4):
        off = grey - ground
        near = np.abs(off) <= 3 * noise + 0.02
        # A stroke's soft edge would pull the surface: fewer pixels than that do not carry it.
        if near.sum() < grey.size / 4:
            break
        weights = _fit(terms[near], grey[near])
        ground = terms @ weights
        noise = _spread((grey - ground)[near])
    return grey - ground, noise


def _is_even(border: Grey) -> bool:
    return bool((np.abs(border - np.median(border)) <= _EVEN).mean() >= _EVEN_SHARE)


def _fit(terms: Grey, values: Grey) -> Grey:
    # The normal equations: of so few and such harmless terms exact enough, and ten times as fast.
    weights, *_ = np.linalg.lstsq(terms.T @ terms, terms.T @ values, rcond=None)
    return np.asarray(weights, np.float64)


def _spread(values: Grey) -> float:
    """Return the standard deviation as the median tells it, blind to what lies far off."""
    return 1.4826 * float(np.median(np.abs(values)))


def _border(values: Grey) -> Grey:
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _without_specks(ink: Grey, edge: float) -> Grey:
    """Blot out specks, which have little ink beside the largest stroke."""
    from scipy import ndimage  # type: ignore[import-untyped]  # takes a tenth of a second

    touching = np.ones((3, 3), bool)
    strokes, count = ndimage.label(ink >= edge, touching)
    if count < 2:
        return ink
    mass = ndimage.sum_labels(ink, strokes, np.arange(count + 1))
    mass[0] = 0
    specks = np.flatnonzero(mass < _SPECK * mass.max())
    dirt = np.isin(strokes, specks[specks > 0])
    kept: Grey = np.where(ndimage.binary_dilation(dirt, touching, iterations=2), 0, ink)
    return np.where(np.isin(strokes, np.flatnonzero(mass >= _SPECK * mass.max())), ink, kept)


def _as_mnist(ink: Grey, edge: float = _EDGE) -> Grey:
    """Scale ink ``[rows, columns]``, 0 to 1, into the box and centre it by its mass.

    What is paler than ``edge`` does not count for the box, but stays if it lies near.
    """
    rows, columns = np.nonzero(ink >= min(edge, 0.5))
    top, left = int(rows.min()), int(columns.min())
    sides = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
    scale = BOX / max(sides)
    margin = max(1, round((SIDE - BOX) / 2 / scale))
    around = np.pad(ink, margin)  # so shifted by the margin
    cut = around[top : top + sides[0] + 2 * margin, left : left + sides[1] + 2 * margin]
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    if cut.shape != (height, width):
        cut = _resize(cut, height, width)
        cut = cut / cut.max()  # thin strokes are pale when they are made small
    mass = cut / cut.sum()
    row = _start(mass.sum(axis=1), round(sides[0] * scale))
    column = _start(mass.sum(axis=0), round(sides[1] * scale))
    canvas = np.zeros((3 * SIDE, 3 * SIDE))
    canvas[row : row + height, column : column + width] = cut
    return canvas[SIDE : 2 * SIDE, SIDE : 2 * SIDE]


def _start(mass: Grey, box: int) -> int:
    """Return where on the canvas, whose image begins at ``SIDE``, a cut begins.

    ``mass`` is the fraction of the ink of each row (or column) of the cut, ``box`` the rows of the
    box in its middle.
    """
    # The box stays inside of the image, while pale ink around it may be lost.
    centred = round(_CENTRE - float(mass @ np.arange(len(mass))))
    before = round((len(mass) - box) / 2)
    return SIDE + min(max(centred, -before), SIDE - max(1, box) - before)


def _read_grey(path: Path) -> Grey:
    """Read grey levels ``[rows, columns]``, 0 (black) to 1 (white), of some hundred pixels."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures, and refuses those of twice as many pixels.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                picture = ImageOps.exif_transpose(file)
        if picture.mode.startswith(("I", "F")):  # 16 bits a pixel and more
            return _of_wide_pixels(picture, path)
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = _on_a_ground(_shrink(picture.convert("RGBA")))
        return np.asarray(_shrink(picture.convert("L")), np.float64) / 255
    except UnidentifiedImageError:
        with path.open("rb") as opened:
            words = file_kinds.describe(opened.read(file_kinds.HEAD_BYTES))
        raise DataError(
            f"{one_line(path)}: is neither a picture (PNG, JPEG …) nor an IDX file of images"
            + (f"; it is {words}" if words else "")
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{one_line(path)}: is too large: {error}") from None
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's readers raise on damage
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{one_line(path)}: cannot be read: {reason}") from None


def _of_wide_pixels(picture: Image.Image, path: Path) -> Grey:
    """Return grey levels of a picture of integers of 16 bits or more, or of floating numbers."""
    values = np.asarray(picture, np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{one_line(path)}: cannot be read: a pixel is not a finite number")
    if picture.mode.startswith("I"):
        lowest, highest = min(0.0, float(values.min())), float(values.max())
        # Full scale is not said in the file: 12 bits in 16 would be nearly black.
        highest = next((2.0**bits - 1 for bits in _DEPTHS if highest <= 2**bits - 1), highest)
    else:
        lowest, highest = min(0.0, float(values.min())), max(1.0, float(values.max()))
    grey = (values - lowest) / (highest - lowest)
    return np.asarray(_shrink(Image.fromarray(grey)), np.float64)


def _on_a_ground(picture: Image.Image) -> Image.Image:
    """Put a picture that is partly transparent on white, or on black if its ink is light."""
    pixels = np.asarray(picture, np.float64)
    alpha = pixels[..., 3]
    light = alpha.sum() > 0 and np.average(pixels[..., :3].mean(axis=-1), weights=alpha) > 127
    transparent = bool((alpha < 128).any())
    ground = Image.new("RGBA", picture.size, "black" if light and transparent else "white")
    return Image.alpha_composite(ground, picture)


def _shrink(picture: Image.Image) -> Image.Image:
    """Make a large picture small, by the means of whole blocks of pixels."""
    longer, shorter = max(picture.size), min(picture.size)
    # A long strip is left as wide as a digit, if it is not too long for that.
    least = max(shorter // BOX, math.isqrt(longer * shorter // _MANY))
    factor = min(longer // _LARGE, least)
    return picture.reduce(factor) if factor > 1 else picture


def _resize(grey: Grey, height: int, width: int) -> Grey:
    picture = Image.fromarray(grey.astype(np.float32))
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float64)


def _to_bytes(grey: Grey) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
