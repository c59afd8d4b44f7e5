"""Pictures of the mistakes that trials have kept, drawn without torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_core.config import DataConfig
from mnist_core.data import image_arrays
from mnist_core.data.idx import UInt8Array
from mnist_core.errors import DataError
from mnist_core.evaluation.evaluation import Mistake
from mnist_core.evaluation.pictures import on_white, side_by_side


class MistakeImages:
    """Draws mistakes of trials; each data set is read once."""

    def __init__(self) -> None:
        self._known: dict[DataConfig, image_arrays.LabelledImages] = {}

    def draw(
        self, mistakes: Sequence[Mistake], config: DataConfig, fingerprint: str
    ) -> list[UInt8Array]:
        """Return a picture for each mistake: grey ones are dark ink on white.

        Raises:
            DataError: if the images are not here, or not those that the trial has seen.
        """
        if not mistakes:
            return []
        if config not in self._known:
            self._known[config] = image_arrays.validation_images(config)
        found = self._known[config]
        # Other images under the same indices would be shown as mistakes.
        if not found.is_of(fingerprint):
            raise DataError(
                f"data {config.title!r}: those here ({found.fingerprint}) are not those of the"
                f" study ({fingerprint})"
            )
        if max(max(mistake.images) for mistake in mistakes) >= len(found.images):
            raise DataError(
                f"data {config.title!r}: has {len(found.images)} validation images only"
            )
        return [side_by_side(on_white(found.images[list(mistake.images)])) for mistake in mistakes]


def data_config(settings: Mapping[str, Any]) -> DataConfig:
    """Return the data settings among resolved ones by dotted name."""
    own = {
        name.removeprefix("data."): value
        for name, value in settings.items()
        if name.startswith("data.")
    }
    return DataConfig.from_mapping(own, source="data")
