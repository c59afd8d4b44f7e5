"""What goes in and out of a training: reports, its result, the ways it can end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mnist_core.config import TrainConfig
from mnist_core.evaluation.evaluation import Evaluation

Report = Callable[[int, Mapping[str, float]], None]
"""``report(step, metrics)``: called after each validation, steps counted from 1."""


class StopTraining(Exception):
    """Raised by ``report`` to end the training; the result so far is returned."""


class TrainingFailed(Exception):
    """The training cannot continue.

    Attributes:
        kind: ``NonFiniteLoss`` or ``OutOfMemory``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True, eq=False)
class Best:
    """The best report of a training: the highest validation accuracy, then the lowest loss.

    Attributes:
        step: number of the report, from 1.
    """

    step: int
    metrics: dict[str, float]
    weights: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """The result of a training.

    Attributes:
        config: with nothing left to guess; training it again gives the same result.
        metrics: e.g. ``val_accuracy``, ``val_loss`` and ``train_loss`` of ``model``: at the last
            report, or at the best one if ``early_stopping`` is on.
        history: one entry a report: ``step`` (from 1), ``epoch``, ``seconds`` and the metrics; also
            ``lr`` and ``train_accuracy`` if the training is followed, see ``train``.
        evaluation: of ``model`` on the validation images.
        model: on the device, in evaluation mode; averaged, if that was asked for.
        stopped: whether ``report`` ended the training early.
        stopped_early: whether ``early_stopping`` did.
        seconds: wall time of the whole training; of a resumed one since it was resumed.
        peak_memory: bytes, see ``memory.peak``.
    """

    config: TrainConfig
    metrics: dict[str, float]
    history: list[dict[str, float]]
    evaluation: Evaluation
    confusion: list[list[int]]
    model: nn.Module
    stopped: bool
    stopped_early: bool
    best: Best | None
    images: int
    seconds: float
    train_seconds: float
    peak_memory: int
    n_parameters: int
    device_name: str
