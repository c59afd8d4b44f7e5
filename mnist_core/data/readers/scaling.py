"""Arrays of images brought to another size, or to other channels."""

import numpy as np
from PIL import Image, ImageOps

from mnist_core.data.idx import UInt8Array
from mnist_core.data.readers.parts import Wanted


def scaled(images: UInt8Array, wanted: Wanted) -> UInt8Array:
    """Return uint8 images ``[N, rows, columns(, 3)]`` in the form that is wanted."""
    # Pillow's, as for files of pictures: the same picture gives the same pixels.
    size = wanted.size
    if wanted.channels == 3 and images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    grey = wanted.channels == 1 and images.ndim == 4
    if not grey and (size is None or images.shape[1:3] == (size, size)):
        return images
    return np.stack([_one(image, size, grey) for image in images])


def _one(image: UInt8Array, size: int | None, grey: bool) -> UInt8Array:
    picture = Image.fromarray(image)
    if grey:
        picture = picture.convert("L")
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8)
