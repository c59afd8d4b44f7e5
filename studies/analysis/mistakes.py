"""The images that trials have kept as their mistakes, drawn from the data set's own files.

Nothing here needs torch: trackers and the dashboard draw them beside a study that computes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnist_core.config import DataConfig
from mnist_core.data import datasets
from mnist_core.data.idx import UInt8Array
from mnist_core.errors import DataError
from mnist_core.evaluation.evaluation import Mistake

_GAP = 2
"""Columns between the two images of a pair, and pixels between those of a mosaic."""
_GREY = 128


class MistakeImages:
    """Draws mistakes of trials; the files are read once, for the first of them."""

    def __init__(self) -> None:
        self._known: dict[DataConfig, datasets.ValidationImages] = {}

    def draw(
        self, mistakes: Sequence[Mistake], config: DataConfig, fingerprint: str
    ) -> list[UInt8Array]:
        """Return a picture for each mistake, dark ink on white; of a pair both images.

        Args:
            mistakes: as a trial has kept them.
            config: of the trial's data.
            fingerprint: of the same.

        Returns:
            uint8 ``[rows, columns]`` each.

        Raises:
            DataError: the images are not here, or not those that the trial has seen.
        """
        if not mistakes:
            return []
        if config not in self._known:
            self._known[config] = datasets.validation_images(config)
        found = self._known[config]
        if not found.is_of(fingerprint):
            raise DataError(
                f"data {config.name!r}: those here ({found.fingerprint}) are not those of the"
                f" study ({fingerprint})"
            )
        if max(max(mistake.images) for mistake in mistakes) >= len(found.images):
            raise DataError(f"data {config.name!r}: has {len(found.images)} validation images only")
        return [_beside(found.images[list(mistake.images)]) for mistake in mistakes]


def data_config(settings: Mapping[str, Any]) -> DataConfig:
    """Return what resolved settings, by dotted name, say of the data.

    Raises:
        ConfigError: they say what nobody may.
    """
    own = {
        name.removeprefix("data."): value
        for name, value in settings.items()
        if name.startswith("data.")
    }
    return DataConfig.from_mapping(own, source="data")


def mosaic(pictures: Sequence[UInt8Array]) -> UInt8Array:
    """Put one or more pictures beside each other, three a row; uint8 ``[rows, columns]``."""
    height, width = np.max([picture.shape for picture in pictures], axis=0)
    rows = -(-len(pictures) // 3)
    canvas = np.full((rows * (height + _GAP), 3 * (width + _GAP)), _GREY, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // 3 * (height + _GAP), place % 3 * (width + _GAP)
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def _beside(images: UInt8Array) -> UInt8Array:
    """Return images ``[N, rows, columns]`` as one, a gap between two of them."""
    gap = np.full((images.shape[1], _GAP), _GREY, np.uint8)
    parts: list[UInt8Array] = []
    for image in images:
        parts += [*([gap] if parts else []), 255 - image]
    return np.concatenate(parts, axis=1)
