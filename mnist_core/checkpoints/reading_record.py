"""What is recorded of a model's judgement: on how many images, and how sure the accuracy is."""

import math
from typing import Any

from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.tasks.pair_metrics import PairEvaluation

_Z = 1.96  # standard errors to each side of a mean that hold 95 %


def describe(
    command: str,
    name: str,
    kept: Checkpoint,
    data: str,
    fingerprint: str,
    device: str,
    found: Evaluation,
) -> dict[str, Any]:
    """Return what is recorded of a reading of the test images; ``name``: ``last`` or ``best``."""
    return {
        "by": command,
        "checkpoint": name,
        "data": data,
        "fingerprint": fingerprint,
        "device": device,
        "precision": kept.config.precision,
        "metrics": found.metrics,
        "confusion": found.confusion.tolist(),
        **certainty(found),
    }


def certainty(found: Evaluation) -> dict[str, Any]:
    """Return on how much an accuracy was measured, and its standard error over the images."""
    # Of images the binomial one, with one right and one wrong answer added, so that it is never 0.
    # Of pairs, which share images, that of the bootstrap over the images, if it is greater.
    n = int(found.confusion.sum())
    right = (int(found.confusion.trace()) + 1) / (n + 2)
    error, kind = math.sqrt(right * (1 - right) / n), "images"
    if isinstance(found, PairEvaluation):
        low, high = found.interval()
        error, kind = max(error, (high - low) / (2 * _Z)), "pairs"
    return {"n": n, "of": kind, "accuracy_se": error}
