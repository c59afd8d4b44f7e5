"""What a trial has kept of its last validation, with pictures of its mistakes, for trackers."""

from collections.abc import Callable
from dataclasses import dataclass

from mnist_core.data.idx import UInt8Array
from mnist_core.errors import UserError
from mnist_core.evaluation import validation_summary
from mnist_core.evaluation.validation_summary import ValidationSummary
from objectives.mistake_images import MistakeImages, data_config
from studies.core.trials import class_names_of
from studies.tracking.base import Study, Trial


@dataclass(frozen=True)
class Validation:
    """The last validation of a trial; a picture for each mistake, none if images are missing."""

    summary: ValidationSummary
    pictures: list[UInt8Array]
    class_names: tuple[str, ...] = ()

    @property
    def captions(self) -> list[str]:
        """What was taken for what, for each mistake."""
        return [mistake.text(self.class_names) for mistake in self.summary.mistakes]


class Mistakes:
    """Draws the mistakes of one study's trials; ``say`` gets one line if the images are missing."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._said = say, False
        self._images = MistakeImages()

    def of(self, study: Study, trial: Trial) -> Validation | None:
        """Return the last validation of ``trial``; None: it has kept none."""
        kept = validation_summary.of_attributes(trial.attributes)
        if kept is None:
            return None
        names = class_names_of(trial.attributes)
        fingerprint = str(study.about.get("data", ""))
        try:
            config = data_config(study.config_of(trial))
            pictures = self._images.draw(kept.mistakes, config, fingerprint)
            return Validation(kept, pictures, names)
        except UserError as error:
            if not self._said:
                self._said = True
                self._say(f"no pictures of mistakes: {error}")
            return Validation(kept, [], names)
