"""What goes in and out of a training: reports, its result, the ways it can end."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mnist_core.config import TrainConfig
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.images import MNIST, Images

Report = Callable[[int, Mapping[str, float]], None]
"""``report(step, metrics)``: called after each validation, steps counted from 1."""


class StopTraining(Exception):
    """Raised by ``report`` to end the training; the result so far is returned."""


class TrainingFailed(Exception):
    """The training cannot continue."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind  # ``NonFiniteLoss`` or ``OutOfMemory``


def check_finite(after: str, **losses: float) -> None:
    """Raise ``TrainingFailed`` if one of ``losses``, by name, is not finite ``after`` a step."""
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingFailed("NonFiniteLoss", f"{name} is {value} after {after}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Best:
    """The best report of a training: the highest validation accuracy, then the lowest loss."""

    step: int  # number of the report, from 1
    metrics: dict[str, float]
    weights: dict[str, Tensor]

    @staticmethod
    def rank(metrics: Mapping[str, float]) -> tuple[float, float]:
        """Return what a report is compared by: the greater, the better."""
        return metrics["val_accuracy"], -metrics["val_loss"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """The result of a training."""

    config: TrainConfig  # with nothing left to guess; training it again gives the same result
    # e.g. ``val_accuracy``, ``val_loss`` and ``train_loss`` of ``model``: at the last report, or at
    # the best one if ``early_stopping`` is on.
    metrics: dict[str, float]
    # one entry a report: ``step`` (from 1), ``epoch``, ``seconds`` and the metrics; also ``lr`` and
    # ``train_accuracy`` if the training is followed, see ``train``
    history: list[dict[str, float]]
    evaluation: Evaluation  # of ``model`` on the validation images
    confusion: list[list[int]]
    model: nn.Module  # on the device, in evaluation mode; averaged, if that was asked for
    stopped: bool  # whether ``report`` ended the training early
    stopped_early: bool  # whether ``early_stopping`` did
    best: Best | None
    images: int
    seconds: float  # wall time of the whole training; of a resumed one since it was resumed
    train_seconds: float
    peak_memory: int  # bytes, see ``memory.peak``
    n_parameters: int
    device_name: str
    about: Images = MNIST  # the images that the model takes
