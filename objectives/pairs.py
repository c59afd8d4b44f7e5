"""Pairs of images, same class or not: hyperparameters in, validation metrics of the pairs out."""

from typing import ClassVar

from objectives.training import Training


class Pairs(Training):
    """The objective of a study of models that compare two images; see ``Training``."""

    TASK: ClassVar[str] = "pairs"
