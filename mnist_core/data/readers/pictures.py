"""One picture file decoded into an array, with a line that names it for whatever is wrong."""

import warnings
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_core.data import file_kinds, unreadable
from mnist_core.data.idx import UInt8Array, one_line
from mnist_core.data.readers.parts import Wanted, check_sides
from mnist_core.errors import DataError
from mnist_core.images import Images

MAX_SIDE: Final = 16_384
MAX_PIXELS: Final = 2**26  # a photo of 60 megapixels; more is rather a bomb than a picture

_GREY_MODES: Final = ("1", "L", "LA", "La")


def decode_as(path: Path, about: Images) -> UInt8Array:
    """Return a picture in the form of a model's images; raise ``DataError`` as ``decode``."""
    return decode(path, Wanted(channels=about.channels), (about.rows, about.columns))


def decode(path: Path, wanted: Wanted, sides: tuple[int, int] | None = None) -> UInt8Array:
    """Return a picture, uint8 ``[rows, columns]`` if it is grey, else ``[rows, columns, 3]``.

    With ``wanted.size`` it is scaled, and cut at the longer side around its middle; ``sides`` are
    rows and columns instead of that.

    Raises:
        DataError: if it is empty, not a picture, damaged, animated or too large.
    """
    if sides is None and wanted.size:
        sides = wanted.size, wanted.size
    size = None if sides is None else (sides[1], sides[0])  # Pillow names columns first
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures, and refuses those of twice as many pixels.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                _check(file, path, scaled=size is not None)
                if size:
                    file.draft(None, size)  # a JPEG is decoded smaller
                picture = _flat(ImageOps.exif_transpose(file), wanted.channels)
        if size and picture.size != size:
            picture = ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        raise DataError(f"{one_line(path)}: {_unread(path)}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{one_line(path)}: is too large: {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError) as error:
        # what Pillow's readers raise on damage
        said = (
            unreadable.refused(error)
            if isinstance(error, OSError) and unreadable.is_refusal(error)
            else unreadable.damaged("a picture", error)
        )
        raise DataError(f"{one_line(path)}: {said}") from None
    return np.asarray(picture, np.uint8)


def _check(file: Image.Image, path: Path, *, scaled: bool) -> None:
    """Refuse a picture by its header, before it is decoded."""
    columns, rows = file.size
    if max(rows, columns) > MAX_SIDE or rows * columns > MAX_PIXELS:
        raise DataError(
            f"{one_line(path)}: is {columns:,}x{rows:,} pixels; at most {MAX_SIDE:,} a side and"
            f" {MAX_PIXELS:,} in all are read; make it smaller, or remove it"
        )
    if getattr(file, "is_animated", False):
        raise DataError(
            f"{one_line(path)}: is animated; keep one of its pictures as a file of its own"
        )
    if not scaled:
        check_sides(rows, columns, one_line(path))


def _flat(picture: Image.Image, channels: int | None) -> Image.Image:
    """Return the picture as grey (``L``) or colour (``RGB``)."""
    if picture.mode.startswith("I"):  # 16 bits a pixel: the upper eight
        wide = np.asarray(picture, np.int64)
        shift = 8 if wide.max(initial=0) > 255 else 0
        picture = Image.fromarray((wide >> shift).clip(0, 255).astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits a channel")
    grey = channels == 1 or (channels is None and picture.mode in _GREY_MODES)
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("L" if grey else "RGB")


def _unread(path: Path) -> str:
    with path.open("rb") as opened:
        words = file_kinds.describe(opened.read(file_kinds.HEAD_BYTES))
    if words.endswith(" picture"):  # its first bytes are right, so what follows is not
        return f"is {words}, but damaged; replace it, or remove it"
    return f"is not a picture; it is {words}" if words else "is not a picture"
