"""Generated pictures of five classes, in the place of somebody's own: discs of five colours.

Discs lie on grounds of any colour, so that no single pixel gives the class away.
"""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("apple", "kiwi", "lemon", "orange", "plum")


def write(root: Path, images: int, side: int, *, noise: float = 20.0) -> None:
    """Write ``images`` square PNG pictures to the folders ``root/CLASS``, the same at every call.

    Args:
        root: the folder, which is made.
        images: the number of pictures, a fifth of them of each class.
        side: pixels.
        noise: standard deviation of the noise of each pixel and colour; 20 is easy.
    """
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        hue = 127 + 127 * np.cos(2 * np.pi * (number / 5 + np.array([0, 1 / 3, 2 / 3])))
        for i in range(images // len(CLASSES)):
            column, row = random.uniform(side * 0.4, side * 0.6, 2)
            inside = (x - column) ** 2 + (y - row) ** 2 < (side * random.uniform(0.2, 0.35)) ** 2
            picture = np.where(inside[..., None], hue, random.uniform(0, 255, 3))
            noisy = picture + random.normal(0, noise, (side, side, 3))
            pixels = noisy.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:04}.png")
