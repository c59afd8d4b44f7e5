"""Images in, one of ``n_classes`` out."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from mnist_core import losses
from mnist_core.batches.batches import (
    Batches,
    class_weights,
    norm_batches,
    norm_images,
    normalise,
)
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.tasks import Task, class_metrics
from mnist_core.tasks.class_metrics import Evaluation


def check(config: TrainConfig) -> None:
    """Raise ``ConfigError`` for a loss of another task, or one that smooths no labels."""
    if losses.of(config.loss, losses.CLASSIFICATION).task != losses.CLASSIFICATION:
        raise ConfigError(
            f"loss.name: {config.loss.name!r} compares images, but model {config.model.name!r}"
            f" classifies them; use {' or '.join(losses.names(losses.CLASSIFICATION))}"
        )
    if config.data.balance == "loss" and config.loss.name not in (None, "cross_entropy"):
        raise ConfigError(
            f"data.balance: loss weighs the cross-entropy, but loss.name is {config.loss.name!r};"
            " take data.balance=batches"
        )
    if config.label_smoothing and not losses.of(config.loss, losses.CLASSIFICATION).smooths:
        raise ConfigError(
            f"label_smoothing: the {config.loss.name} loss is defined for true labels only, but got"
            f" {config.label_smoothing:g}; use 0, or loss.name=cross_entropy"
        )


def epoch_size(config: TrainConfig, data: Data) -> int:
    """Return how many images an epoch has."""
    return len(data.train)


def create(config: TrainConfig, data: Data, runtime: Runtime) -> "Classification":
    """Return the task."""
    return Classification(config, data, runtime)


def evaluate(
    model: nn.Module, split: Split, config: TrainConfig, runtime: Runtime, threshold: float | None
) -> Evaluation:
    """Judge ``model`` on ``split``; a threshold means nothing here."""
    return class_metrics.evaluate(model, split, runtime=runtime)


class Classification(Task):
    """The task of one training."""

    def __init__(self, config: TrainConfig, data: Data, runtime: Runtime) -> None:
        batches = Batches(
            data.train,
            config.batch_size,
            seed=config.seed,
            augmentation=config.augment,
            dtype=runtime.dtype,
            balanced=config.data.balance == "batches",
        )
        super().__init__(config, batches, runtime)
        self._data = data
        self._weights: Tensor | None = None
        if config.data.balance == "loss":
            weights = class_weights(data.train.labels)
            missing = data.n_classes - len(weights)  # the last classes may have no image
            self._weights = functional.pad(weights, (0, missing))

    def images(self) -> Iterator[Tensor]:
        """Yield training images ``[B, channels, rows, columns]``."""
        chosen = norm_images(self._data.train.images, self._config.seed)
        for images in norm_batches(chosen, len(chosen)):
            yield normalise(images, self._runtime.dtype, self._data.train.about)

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the batch, nats an image."""
        with self._runtime.autocast():
            logits = model(inputs)
        logits = self._runtime.widen(logits)
        if self._right is not None:
            self._right += (logits.detach().argmax(dim=1) == targets).sum()
        config = self._config
        if self._weights is not None:
            weights = self._weights.to(logits.dtype)
            return functional.cross_entropy(
                logits, targets, weight=weights, label_smoothing=config.label_smoothing
            )
        loss = losses.of(config.loss, losses.CLASSIFICATION)
        return loss.compute(logits, targets, config.loss, config.label_smoothing)

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Judge ``model`` on the validation images."""
        return class_metrics.evaluate(model, self._data.validation, runtime=self._runtime)
