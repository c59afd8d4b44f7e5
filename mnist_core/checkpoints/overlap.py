"""Whether a model is judged on images that it was trained on: another split, another data set."""

import numpy as np
from torch import Tensor

from mnist_core.config import DataConfig
from mnist_core.console.plain_text import counted
from mnist_core.data import image_arrays
from mnist_core.data.registry import FOLDER
from mnist_core.errors import DataError


def warn(trained: DataConfig, place: DataConfig, images: Tensor) -> str:
    """Return a line on the images that a model was trained on; "" if there are none."""
    # Images are the same if all their pixels are. The split keeps those of a training apart.
    if _same(trained, place):
        return ""
    try:
        known = {image.tobytes() for image in image_arrays.training_images(trained)}
    except DataError as error:
        return f"warning: whether the model was trained on some of them is not known: {error}"
    pixels = np.ascontiguousarray(images.cpu().numpy())
    count = sum(image.tobytes() in known for image in pixels)
    if not count:
        return ""
    return f"warning: the model was trained on {count:,} of these {counted(len(pixels), 'image')}"


def _same(one: DataConfig, other: DataConfig) -> bool:
    """Return whether both are the same split of the same images, wherever they lie."""
    same = (one.name, one.split_seed) == (other.name, other.split_seed)
    # What has a name of its own is known by its content; a folder only by its path.
    same = same and (one.size, one.channels) == (other.size, other.channels)
    return same and (one.name != FOLDER or one.root == other.root)
