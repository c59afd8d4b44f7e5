"""What a kept model says of images, one by one: class and probability, or same and different."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mnist_core import models
from mnist_core.checkpoints import evaluate_checkpoint
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.errors import ConfigError
from mnist_core.tasks import class_metrics
from mnist_core.tasks.class_metrics import Evaluation

THRESHOLD = "val_threshold"
"""The metric that says from which score on a model of pairs takes two images for the same."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Predictions of a classifier for ``N`` images, on the CPU."""

    logits: Tensor  # ``[N, C]``
    predicted: Tensor  # int64 ``[N]``, the class with the highest logit, the first of several
    # float64 ``[N, C]``, softmax of the logits; how sure a model is, which is not how often it is
    # right (Guo et al. 2017, arXiv 1706.04599).
    probabilities: Tensor

    @property
    def probability(self) -> Tensor:
        """Float64 ``[N]``: of the predicted class."""
        return self.probabilities.gather(1, self.predicted.unsqueeze(1)).squeeze(1)

    def ranking(self) -> Tensor:
        """Return int64 ``[N, C]``: the classes of each image, the likeliest first."""
        return self.logits.argsort(dim=1, descending=True, stable=True)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Predictions of a model of pairs for ``P`` pairs of images, on the CPU."""

    chosen: Tensor  # int64 ``[P, 2]``, indices into the images
    scores: Tensor  # float64 ``[P]``: the higher, the more alike
    threshold: float  # from which score on two images are the same, as the training chose it

    @property
    def same(self) -> Tensor:
        """Bool ``[P]``: which pairs are predicted to show the same class."""
        return self.scores >= self.threshold


def compares_pairs(kept: Checkpoint) -> bool:
    """Return whether the model compares two images, and does not classify one."""
    return models.task(kept.config.model) == "pairs"


def classify(kept: Checkpoint, images: Tensor) -> Classes:
    """Classify uint8 images ``[N, rows, columns]``, or ``[N, rows, columns, 3]`` in colour.

    Raises:
        ConfigError: if the images have another size.
        CheckpointError: if the logits are not finite.
    """
    check_size(kept, images)
    logits = evaluate_checkpoint.logits(kept, images)
    evaluate_checkpoint.check_finite(kept, logits)
    return Classes(logits, logits.argmax(dim=1), logits.double().softmax(dim=1))


def evaluation(found: Classes, labels: Tensor) -> Evaluation:
    """Return the figures of predictions for N >= 1 images whose classes int64 ``[N]`` are known."""
    loss = functional.cross_entropy(found.logits.double(), labels).item()
    return class_metrics.of_logits(found.logits, labels, loss=loss)


def compare_pairs(kept: Checkpoint, images: Tensor) -> Pairs:
    """Compare the first image of uint8 ``[N, …]`` with the second, and so on.

    Raises:
        ConfigError: if the number or size of the images is wrong, or the model has no threshold.
        CheckpointError: if the scores are not finite.
    """
    if len(images) % 2 or not len(images):
        raise ConfigError(
            f"{kept.config.model.name} compares images two by two, the first with the second and so"
            f" on, but got {len(images)}; give an even number"
        )
    check_size(kept, images)
    chosen = torch.arange(len(images), device=images.device).view(-1, 2)
    scores = evaluate_checkpoint.pair_scores(kept, images, chosen)
    evaluate_checkpoint.check_finite(kept, scores)
    return Pairs(chosen.cpu(), scores, threshold(kept))


def threshold(kept: Checkpoint) -> float:
    """Return the score from which two images are the same; raise ConfigError if it is not known."""
    if THRESHOLD not in kept.metrics:
        raise ConfigError(
            f"this {kept.config.model.name} has no {THRESHOLD} among its metrics, which says from"
            " which score on two images are the same; train it again"
        )
    return float(kept.metrics[THRESHOLD])


def check_size(kept: Checkpoint, images: Tensor, source: str = "") -> None:
    """Refuse images that the model does not take; the ``ConfigError`` names ``source``."""
    taken = (kept.about.rows, kept.about.columns, *[3] * kept.about.colour)
    if tuple(images.shape[1:]) != taken:
        where = f"{source}: " if source else ""
        given = "x".join(map(str, images.shape[1:]))
        raise ConfigError(f"{where}the model takes images of {kept.about}, but these are {given}")
