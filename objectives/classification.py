"""Image classification: hyperparameters in, a trained classifier's validation metrics out."""

from typing import ClassVar

from objectives.training import Training


class Classification(Training):
    """The objective of a study of classifiers; see ``Training``."""

    TASK: ClassVar[str] = "classification"
