"""Images as text, for a look at a data set in any terminal."""

from typing import Final

import numpy as np

from mnist_core.data.idx import UInt8Array

_RAMP: Final = np.array(list(" .:-=+*#%@"))
_GAP: Final = 2


def picture(images: UInt8Array, width: int = 80, *, max_rows: int = 2) -> str:
    """Draw images uint8 ``[N, rows, columns(, 3)]`` side by side, ``rows / 2`` lines each.

    A line has ``width`` characters, or one image where that is wider; at most ``max_rows`` rows.
    """
    if images.ndim == 4:  # in colour: as bright as they look
        images = (images @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    height, columns = images.shape[1:]
    per_row = max(1, (width + _GAP) // (columns + _GAP))
    shown = images[: per_row * max_rows]
    even = np.pad(shown, ((0, 0), (0, height % 2), (0, 0)))
    # A character is twice as high as wide, so it shows two pixels.
    ink = even.reshape(len(shown), -1, 2, columns).mean(axis=2)
    characters = _RAMP[(ink * len(_RAMP) / 256).astype(np.intp)]
    lines = []
    for start in range(0, len(shown), per_row):
        for line in range(characters.shape[1]):
            parts = ("".join(image[line]) for image in characters[start : start + per_row])
            lines.append((" " * _GAP).join(parts).rstrip())
    return "\n".join(lines)
