"""Images in, one of ``n_classes`` out."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core.batches.batches import Batches, norm_batches, norm_images, normalise
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.tasks import class_metrics as evaluation
from mnist_core.tasks.class_metrics import Evaluation

LOSSES = ("cross_entropy", "focal")


def check(config: TrainConfig) -> None:
    """Raise ``ConfigError`` for a loss of another task, or one that smooths no labels."""
    if config.loss.name not in (None, *LOSSES):
        raise ConfigError(
            f"loss.name: {config.loss.name!r} compares images, but model {config.model.name!r}"
            f" classifies them; use {' or '.join(LOSSES)}"
        )
    if config.loss.name == "focal" and config.label_smoothing:
        raise ConfigError(
            "label_smoothing: the focal loss is defined for true labels only, but got"
            f" {config.label_smoothing:g}; use 0, or loss.name=cross_entropy"
        )


def epoch_size(config: TrainConfig, data: Data) -> int:
    """Return how many images an epoch has."""
    return len(data.train)


def create(config: TrainConfig, data: Data, runtime: Runtime) -> "Classification":
    """Return the task."""
    return Classification(config, data, runtime)


def evaluate(
    model: nn.Module,
    split: Split,
    config: TrainConfig,
    *,
    n_classes: int,
    runtime: Runtime,
    threshold: float | None = None,
) -> Evaluation:
    """Judge ``model`` on ``split``; a threshold means nothing here."""
    return evaluation.evaluate(model, split, n_classes=n_classes, runtime=runtime)


class Classification:
    """The task of one training."""

    def __init__(self, config: TrainConfig, data: Data, runtime: Runtime) -> None:
        self._config = config
        self._data = data
        self._runtime = runtime
        self._right: Tensor | None = None
        self._batches = Batches(
            data.train,
            config.batch_size,
            seed=config.seed,
            augmentation=config.augment,
            dtype=runtime.dtype,
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._batches)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images ``[B, 1, rows, columns]`` and labels ``[B]``."""
        return self._batches.epoch()

    def images(self) -> Iterator[Tensor]:
        """Yield training images ``[B, 1, rows, columns]``, not augmented."""
        for images in norm_batches(norm_images(self._data.train.images, self._config.seed)):
            yield normalise(images, self._runtime.dtype)

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the batch, nats an image."""
        with self._runtime.autocast():
            logits = model(inputs)
        logits = self._runtime.widen(logits)
        if self._right is not None:
            self._right += (logits.detach().argmax(dim=1) == targets).sum()
        if self._config.loss.name == "focal":
            return focal_loss(logits, targets, gamma=self._config.loss.gamma)
        return functional.cross_entropy(
            logits, targets, label_smoothing=self._config.label_smoothing
        )

    def count_right(self) -> Tensor | None:
        """Count right predictions in ``loss``."""
        self._right = torch.zeros((), dtype=torch.int64, device=self._runtime.device)
        return self._right

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Judge ``model`` on the validation images."""
        return evaluate(
            model,
            self._data.validation,
            self._config,
            n_classes=self._data.n_classes,
            runtime=self._runtime,
        )

    def change(self, config: TrainConfig) -> None:
        """Go on with other settings."""
        if config.augment != self._config.augment:
            self._batches.change(config.augment)
        self._config = config

    def state(self) -> dict[str, Tensor]:
        """Return the states of the random streams."""
        return self._batches.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a ``state``."""
        self._batches.load_state(state)


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """Return the mean of -(1 - p)^gamma log p, p the probability of the true class.

    Lin et al. 2017, arXiv:1708.02002, without class weights; gamma 0 is the cross-entropy.

    Args:
        logits: ``[B, C]``.
        labels: int64 ``[B]``.
        gamma: >= 0; how little the images count that are right already.
    """
    log_p = functional.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
    # expm1: 1 - p is exact where p is near 1, and its power has a gradient there.
    return -((-torch.expm1(log_p)).clamp_min(1e-12) ** gamma * log_p).mean()
