"""Pictures of confusion matrices and of mistakes; nothing here needs torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnist_core.evaluation.confusion import Confusion

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.figure import Figure

UInt8Array = npt.NDArray[np.uint8]
GREY = 128
_GAP = 2
_SHORT = 5  # letters of a class that stand beside each other
_NUMBERS = 20  # a confusion matrix of more classes has shades only


def on_white(images: UInt8Array) -> UInt8Array:
    """Return grey images ``[N, rows, columns]`` as dark ink on white, and others as they are."""
    return images if images.ndim == 4 else 255 - images


def side_by_side(images: UInt8Array, gap: int = _GAP) -> UInt8Array:
    """Return images ``[N, rows, columns]``, or in colour, as one, ``gap`` grey columns apart."""
    between = np.full((images.shape[1], gap, *images.shape[3:]), GREY, np.uint8)
    parts: list[UInt8Array] = []
    for image in images:
        parts += [*([between] if parts else []), image]
    return np.concatenate(parts, axis=1)


def mosaic(pictures: Sequence[UInt8Array]) -> UInt8Array:
    """Return one or more pictures ``[rows, columns]``, or in colour, as one, three a row."""
    height, width = np.max([picture.shape[:2] for picture in pictures], axis=0)
    rows = -(-len(pictures) // 3)
    sides = rows * (height + _GAP), 3 * (width + _GAP), *pictures[0].shape[2:]
    canvas = np.full(sides, GREY, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // 3 * (height + _GAP), place % 3 * (width + _GAP)
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def confusion_figure(found: Confusion, title: str) -> "Figure":
    """Draw a confusion matrix: counts as numbers, shades by the share of the true class."""
    from matplotlib.figure import Figure

    values = np.array(found.counts, dtype=np.float64)
    n = len(values)
    side = min(max(3.6, 0.55 * n + 1.2), 12.0)
    figure = Figure(figsize=(side + 0.8, side + 0.2), layout="constrained")
    axes = figure.add_subplot()
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    # The root lets single mistakes be seen beside a thousand right ones.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(values > 0) if n <= _NUMBERS else ():
        dark = shares[i, j] > 0.36
        axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", color="w" if dark else "k")
    size = 10 if n <= _NUMBERS else max(4.0, 400 / n)
    short = n <= _NUMBERS and max(map(len, found.classes)) <= _SHORT
    axes.set_xticks(range(n), found.classes, fontsize=size, rotation=0 if short else 90)
    axes.set_yticks(range(n), found.classes, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    said = f"{title}, {found.right:.2%} of {found.total} right"
    axes.set_title(said.replace(", ", "\n"), fontsize=10)
    return figure
