"""Pictures of a trial's mistakes, for trackers: where there are none, that is said once."""

from collections.abc import Callable

from mnist_core.data.idx import UInt8Array
from mnist_core.errors import UserError
from mnist_core.evaluation.validation_summary import ValidationSummary
from studies.analysis.mistakes import MistakeImages, data_config
from studies.tracking.base import Study, Trial


class Mistakes:
    """Draws the mistakes of one study's trials.

    Args:
        say: gets a line, once, where the images are not here.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._said = say, False
        self._images = MistakeImages()

    def draw(self, study: Study, trial: Trial, kept: ValidationSummary) -> list[UInt8Array]:
        """Return a picture for each mistake that ``trial`` has kept; none, if that cannot be."""
        fingerprint = str(study.about.get("data", ""))
        try:
            config = data_config(study.config_of(trial))
            return self._images.draw(kept.mistakes, config, fingerprint)
        except UserError as error:
            if not self._said:
                self._said = True
                self._say(f"no pictures of mistakes: {error}")
            return []
