"""Two images in, out comes whether they are of the same class.

The loss decides what is compared and how a score, the higher the more alike, is obtained:

- ``bce`` compares the logit of a pair with the truth; the score is the logit.
- ``contrastive`` compares the two embeddings of a pair; the score is minus their L2 distance.
- ``triplet`` compares the embeddings of all images of a batch; the score is the same.
- ``supcon`` compares them, too; the score is the cosine of two embeddings.

The last three do not train the head of a model, and need a model that has ``embed``.

With every loss, "the same" begins at a threshold, the best on the validation pairs; it is the
metric ``val_threshold``, and what judges test images takes it from there. The validation accuracy
is at that same threshold, so evaluating a trained model again gives the logged number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import models
from mnist_core.batches.batches import norm_batches, norm_images, normalise
from mnist_core.batches.pair_batches import PairBatches, evaluation_pairs
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.tasks import pair_losses
from mnist_core.tasks.pair_metrics import PairEvaluation

METRIC_LOSSES = ("contrastive", "triplet", "supcon")
LOSSES = ("bce", *METRIC_LOSSES)

_IMAGES = 500
"""Images a forward pass of the evaluation."""

_COMPARED = 10_000
"""Pairs of embeddings compared at a time."""


class Embedder(Protocol):
    """A model that turns images into embeddings, and compares these."""

    def embed(self, images: Tensor) -> Tensor:
        """Turn normalised images ``[N, 1, 28, 28]`` into ``[N, D]``."""
        ...

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Turn the embeddings ``[N, D]`` of the two images into logits ``[N]``."""
        ...


def check(config: TrainConfig) -> None:
    """Refuse what cannot be trained.

    Raises:
        ConfigError: a loss of another task, one that needs embeddings where the model has none, or
            smoothed labels where there are no probabilities.
    """
    loss = config.loss.name
    if loss not in (None, *LOSSES):
        raise ConfigError(
            f"loss.name: {loss!r} classifies images, but model {config.model.name!r} compares two;"
            f" use {' or '.join(LOSSES)}"
        )
    if loss not in METRIC_LOSSES:
        return
    if config.label_smoothing:
        raise ConfigError(
            f"label_smoothing: {loss} has no probabilities to smooth, but got"
            f" {config.label_smoothing:g}; use 0, or loss.name=bce"
        )
    with torch.device("meta"):  # no memory, no random numbers
        model = models.build(config.model, 2)
    if not hasattr(model, "embed"):
        raise ConfigError(
            f"loss.name: {loss!r} compares embeddings, but model {config.model.name!r} has none;"
            " use bce, or a model that embeds each image, such as siamese"
        )


def epoch_size(config: TrainConfig, data: Data) -> int:
    """Return how many pairs an epoch has."""
    return config.pairs.per_epoch


def create(config: TrainConfig, data: Data, runtime: Runtime) -> "PairTask":
    """Return the task.

    Raises:
        DataError: the images do not make pairs of both kinds.
    """
    return PairTask(config, data, runtime)


def evaluate(
    model: nn.Module,
    split: Split,
    config: TrainConfig,
    *,
    n_classes: int,
    runtime: Runtime,
    threshold: float | None = None,
) -> PairEvaluation:
    """Judge ``model`` on the fixed pairs of ``split``, see ``mnist_core.tasks.evaluate``.

    Raises:
        DataError: the images do not make pairs of both kinds.
    """
    return _evaluate(model, split, _fix(split, config), config, runtime, threshold)


def score(
    model: nn.Module, images: Tensor, pairs: Tensor, config: TrainConfig, runtime: Runtime
) -> Tensor:
    """Compare any pairs, exactly as ``evaluate`` does.

    Args:
        model: trained by ``config``, on the device.
        images: uint8 ``[N, rows, columns]`` on the device.
        pairs: int64 ``[P, 2]`` on the device, indices into ``images``.
        config: a resolved configuration.
        runtime: where it computes.

    Returns:
        float64 ``[P]`` on the CPU: the higher, the more alike.
    """
    used, places = torch.unique(pairs, return_inverse=True)
    # Only the loss, which nobody asks for, depends on the classes.
    fixed = _FixedPairs(pairs, torch.zeros_like(pairs), used, places)
    split = Split(images, torch.zeros(len(images), dtype=torch.int64, device=images.device))
    return _evaluate(model, split, fixed, config, runtime, threshold=0.0).scores


class PairTask:
    """The task of one training."""

    def __init__(self, config: TrainConfig, data: Data, runtime: Runtime) -> None:
        self._config = config
        self._train = data.train.images
        self._validation = data.validation
        self._runtime = runtime
        self._batches = PairBatches(
            data.train,
            config.batch_size,
            per_epoch=config.pairs.per_epoch,
            seed=config.seed,
            augmentation=config.augment,
            dtype=runtime.dtype,
        )
        self._fixed = _fix(data.validation, config)
        self._right: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._batches)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pairs ``[B, 2, rows, columns]`` and the classes of both images ``[B, 2]``."""
        return self._batches.epoch()

    def images(self) -> Iterator[Tensor]:
        """Yield pairs ``[B, 2, rows, columns]`` of training images, not augmented."""
        images = norm_images(self._train, self._config.seed)
        even = images[: len(images) // 2 * 2]
        for pairs in norm_batches(even.view(-1, 2, *even.shape[1:])):
            normal = normalise(pairs.flatten(0, 1), self._runtime.dtype)
            yield normal.reshape(pairs.shape)

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the batch: nats a pair (bce), or as ``pair_losses`` has it."""
        config = self._config
        if config.loss.name in METRIC_LOSSES:
            with self._runtime.autocast():
                embeddings = _embedder(model).embed(inputs.flatten(0, 1).unsqueeze(1))
            return _metric_loss(config, _full(embeddings).view(len(targets), 2, -1), targets)
        with self._runtime.autocast():
            logits = model(inputs)
        same = targets[:, 0] == targets[:, 1]
        if self._right is not None:
            self._right += ((logits.detach() > 0) == same).sum()
        return pair_losses.binary_cross_entropy(
            _full(logits), same, smoothing=config.label_smoothing
        )

    def count_right(self) -> Tensor | None:
        """Count right answers in ``loss``, above a logit of 0; metric losses give none."""
        if self._config.loss.name in METRIC_LOSSES:
            return None
        self._right = torch.zeros((), dtype=torch.int64, device=self._runtime.device)
        return self._right

    def evaluate(self, model: nn.Module) -> PairEvaluation:
        """Judge ``model`` on the fixed validation pairs."""
        return _evaluate(model, self._validation, self._fixed, self._config, self._runtime, None)

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


@dataclass(frozen=True, eq=False)
class _FixedPairs:
    """The pairs of an evaluation, worked out once.

    Attributes:
        pairs: int64 ``[P, 2]``, indices into the split.
        classes: int64 ``[P, 2]``.
        images: int64 ``[M]``, the images that occur, each once.
        places: int64 ``[P, 2]``, indices into ``images``.
    """

    pairs: Tensor
    classes: Tensor
    images: Tensor
    places: Tensor


def _fix(split: Split, config: TrainConfig) -> _FixedPairs:
    pairs = evaluation_pairs(split.labels, config.pairs.evaluation, config.data.split_seed)
    images, places = torch.unique(pairs, return_inverse=True)
    return _FixedPairs(pairs, split.labels[pairs], images, places)


def _evaluate(
    model: nn.Module,
    split: Split,
    fixed: _FixedPairs,
    config: TrainConfig,
    runtime: Runtime,
    threshold: float | None,
) -> PairEvaluation:
    same = fixed.classes[:, 0] == fixed.classes[:, 1]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), runtime.autocast():
            if hasattr(model, "embed"):
                embeddings = _embed(model, split, fixed, runtime)
                scores, loss = _judge_embeddings(model, embeddings, fixed, config)
            else:
                scores = _score_pairs(model, split, fixed, runtime)
                loss = pair_losses.binary_cross_entropy(scores, same)
    finally:
        model.train(was_training)
    return PairEvaluation(
        loss=loss.item(), pairs=fixed.pairs, same=same, scores=scores, threshold=threshold
    )


def _embed(model: nn.Module, split: Split, fixed: _FixedPairs, runtime: Runtime) -> Tensor:
    """Return the embeddings ``[M, D]`` of the images that occur; each is computed once."""
    return torch.cat(
        [
            _embedder(model).embed(normalise(split.images[part], runtime.dtype))
            for part in torch.split(fixed.images, _IMAGES)
        ]
    )


def _judge_embeddings(
    model: nn.Module, embeddings: Tensor, fixed: _FixedPairs, config: TrainConfig
) -> tuple[Tensor, Tensor]:
    """Return the scores ``[P]`` and the mean loss.

    The losses of a whole batch are taken over the fixed pairs in batches of the training's size.
    """
    if config.loss.name not in METRIC_LOSSES:
        compare = _embedder(model).compare
        parts = torch.split(fixed.places, _COMPARED)
        scores = _full(torch.cat([compare(*embeddings[part].unbind(1)) for part in parts]))
        same = fixed.classes[:, 0] == fixed.classes[:, 1]
        return scores, pair_losses.binary_cross_entropy(scores, same)
    embeddings = _full(embeddings)
    cosine = config.loss.name == "supcon"
    found: list[Tensor] = []
    total = embeddings.new_zeros(())
    with torch.autocast(embeddings.device.type, enabled=False):
        for start in range(0, len(fixed.places), config.batch_size):
            part = slice(start, start + config.batch_size)
            pairs = embeddings[fixed.places[part]]
            total += _metric_loss(config, pairs, fixed.classes[part]) * len(pairs)
            first, second = pairs.unbind(1)
            found.append(
                functional.cosine_similarity(first, second)
                if cosine
                else -pair_losses.distances(first, second)
            )
    return torch.cat(found), total / len(fixed.places)


def _score_pairs(model: nn.Module, split: Split, fixed: _FixedPairs, runtime: Runtime) -> Tensor:
    """Return the logits ``[P]`` of a model that takes both images at once."""
    logits = []
    for part in torch.split(fixed.pairs, _IMAGES // 2):
        images = normalise(split.images[part.flatten()], runtime.dtype)
        logits.append(model(images.view(len(part), 2, *images.shape[2:])))
    return _full(torch.cat(logits))


def _metric_loss(config: TrainConfig, embeddings: Tensor, classes: Tensor) -> Tensor:
    """Return the loss of embeddings ``[B, 2, D]`` of pairs, whose classes are ``[B, 2]``."""
    loss = config.loss
    if loss.name == "contrastive":
        first, second = embeddings.unbind(1)
        same = classes[:, 0] == classes[:, 1]
        return pair_losses.contrastive(first, second, same, margin=loss.margin)
    images, labels = embeddings.flatten(0, 1), classes.flatten()
    if loss.name == "triplet":
        return pair_losses.triplet(images, labels, margin=loss.margin)
    return pair_losses.supervised_contrastive(images, labels, temperature=loss.temperature)


def _embedder(model: nn.Module) -> Embedder:
    return cast(Embedder, model)


def _full(values: Tensor) -> Tensor:
    """Leave half precision."""
    return values if values.dtype == torch.float64 else values.float()
