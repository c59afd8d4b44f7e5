"""From a drawing to what a model says of it."""

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mnist_core import losses
from mnist_core.checkpoints import evaluate_checkpoint
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.device import runtime
from mnist_core.errors import DataError
from mnist_core.prediction import digit_images, predict

SIDE = 140
"""Pixels to a side of a drawing as the page sends it: 5 a pixel of the model's image."""

_SMALL = 0.12  # of the side: a drawing that is not larger is a dot and no digit

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawing, and the image that it becomes."""

    image: UInt8Array | None  # uint8 ``[28, 28]``; None: nothing is drawn, or it is too small
    state: str  # ``empty``, ``small`` or ``drawn``


@dataclass(frozen=True)
class Compared:
    """How alike two drawings are."""

    score: float
    threshold: float  # from which score on they are the same
    low: float  # scores lie between these two, or nearly all of them do
    high: float

    @property
    def same(self) -> bool:
        """Whether they are judged to show the same class."""
        return self.score >= self.threshold


def of_bytes(ink: bytes) -> Drawing:
    """Return the drawing of ``SIDE`` x ``SIDE`` bytes, 0 (nothing) to 255 (ink).

    Raises:
        DataError: if there are more or fewer of them.
    """
    if len(ink) != SIDE * SIDE:
        raise DataError(f"a drawing has {SIDE} x {SIDE} bytes, but got {len(ink)}")
    drawn = np.frombuffer(ink, np.uint8).reshape(SIDE, SIDE) / 255
    rows, columns = np.nonzero(drawn >= 0.5)
    if not len(rows):
        return Drawing(None, "empty")
    if max(np.ptp(rows), np.ptp(columns)) + 1 <= _SMALL * SIDE:
        return Drawing(None, "small")
    return Drawing(digit_images.centred(drawn / drawn.max()), "drawn")


class Judge:
    """A kept model on a device, used by one thread at a time."""

    def __init__(self, kept: Checkpoint, device: str, lock: threading.Lock) -> None:
        """Take a model; ``lock`` is that of all models, as torch's settings are the process's."""
        config = evaluate_checkpoint.config_at(kept, device)
        # One image is too little work for several threads.
        config = config.override({"threads": 1, "device": str(runtime.resolve(config).device)})
        self.kept = dataclasses.replace(kept, config=config)
        self._lock = lock

    def classify(self, image: UInt8Array) -> list[float]:
        """Return the probability of each class; raise CheckpointError if one is not finite."""
        with self._lock, torch.inference_mode():
            found = predict.classify(self.kept, self._placed(image[None]))
        return [float(value) for value in found.probabilities[0]]

    def compare(self, images: UInt8Array) -> Compared:
        """Compare two images; raise CheckpointError if the score is not finite."""
        with self._lock, torch.inference_mode():
            found = predict.compare_pairs(self.kept, self._placed(images))
        low, high = _range(self.kept, found.threshold)
        return Compared(float(found.scores[0]), found.threshold, low, high)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Return a context in which no other thread uses a model."""
        with self._lock:
            yield

    def _placed(self, images: UInt8Array) -> Tensor:
        return torch.from_numpy(images).to(self.kept.config.device)


def _range(kept: Checkpoint, threshold: float) -> tuple[float, float]:
    """Return between which scores nearly all lie."""
    loss = losses.of(kept.config.loss, losses.PAIRS)
    if loss.embeds and loss.cosine:
        return -1.0, 1.0
    if loss.embeds:  # minus a distance
        return 2 * threshold, 0.0
    return threshold - 8.0, threshold + 8.0  # logits
