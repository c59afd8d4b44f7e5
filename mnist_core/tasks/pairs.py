"""Pairs of images in, same class or not out.

A pair is "the same" from a threshold on, the best on the validation pairs: the metric
``val_threshold``, which is also used on test images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import losses, models
from mnist_core.batches.batches import norm_batches, norm_images, normalise
from mnist_core.batches.pair_batches import PairBatches, evaluation_pairs
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.tasks import Task
from mnist_core.tasks.pair_metrics import PairEvaluation

_IMAGES = 500  # images a forward pass of the evaluation
_COMPARED = 10_000  # pairs of embeddings compared at a time


class Embedder(Protocol):
    """A model that turns images into embeddings, and compares these."""

    def embed(self, images: Tensor) -> Tensor:
        """Turn normalised images ``[N, C, H, W]`` into ``[N, D]``."""

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Turn the embeddings ``[N, D]`` of the two images into logits ``[N]``."""


def check(config: TrainConfig) -> None:
    """Raise ``ConfigError`` if loss, labels or model do not fit together."""
    loss = config.loss.name
    if config.data.balance is not None:
        raise ConfigError(
            f"data.balance: model {config.model.name!r} compares two images, and half of its pairs"
            f" are of one class; leave out {config.data.balance!r}"
        )
    if losses.of(config.loss, losses.PAIRS).task != losses.PAIRS:
        raise ConfigError(
            f"loss.name: {loss!r} classifies images, but model {config.model.name!r} compares two;"
            f" use {' or '.join(losses.names(losses.PAIRS))}"
        )
    if not losses.embeds(config.loss):
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
    """Return the task; raise ``DataError`` if the images do not make pairs of both kinds."""
    return PairTask(config, data, runtime)


def evaluate(
    model: nn.Module, split: Split, config: TrainConfig, runtime: Runtime, threshold: float | None
) -> PairEvaluation:
    """Judge ``model`` on the fixed pairs of ``split``, see ``mnist_core.tasks.evaluate``."""
    return _evaluate(model, split, _fix(split, config), config, runtime, threshold)


def score(
    model: nn.Module, split: Split, pairs: Tensor, config: TrainConfig, runtime: Runtime
) -> Tensor:
    """Compare pairs int64 ``[P, 2]`` of the images of ``split`` exactly as ``evaluate`` does.

    Returns float64 ``[P]`` on the CPU: the higher, the more alike.
    """
    used, places = torch.unique(pairs, return_inverse=True)
    # Only the loss, which is not used here, depends on the classes.
    fixed = _FixedPairs(pairs, torch.zeros_like(pairs), used, places)
    return _evaluate(model, split, fixed, config, runtime, threshold=0.0).scores


class PairTask(Task):
    """The task of one training."""

    def __init__(self, config: TrainConfig, data: Data, runtime: Runtime) -> None:
        batches = PairBatches(
            data.train,
            config.batch_size,
            per_epoch=config.pairs.per_epoch,
            seed=config.seed,
            augmentation=config.augment,
            dtype=runtime.dtype,
        )
        super().__init__(config, batches, runtime)
        self._train = data.train
        self._validation = data.validation
        self._fixed = _fix(data.validation, config)

    def images(self) -> Iterator[Tensor]:
        """Yield pairs ``[B, 2, (3,) rows, columns]`` of training images, not augmented."""
        images = norm_images(self._train.images, self._config.seed)
        even = images[: len(images) // 2 * 2]
        for pairs in norm_batches(even.view(-1, 2, *even.shape[1:]), len(even)):
            normal = normalise(pairs.flatten(0, 1), self._runtime.dtype, self._train.about)
            yield _in_pairs(normal)

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the batch: nats a pair (bce), or as ``losses`` says."""
        config = self._config
        loss = losses.of(config.loss, losses.PAIRS)
        if loss.embeds:
            with self._runtime.autocast():
                embeddings = _embedder(model).embed(models.single_images(inputs))
            pairs = _full(embeddings).view(len(targets), 2, -1)
            return loss.compute(pairs, targets, config.loss, 0.0)
        with self._runtime.autocast():
            logits = model(inputs)
        if self._right is not None:
            same = targets[:, 0] == targets[:, 1]
            self._right += ((logits.detach() > 0) == same).sum()
        return loss.compute(_full(logits), targets, config.loss, config.label_smoothing)

    def count_right(self) -> Tensor | None:
        """Count right answers in ``loss``, above a logit of 0; metric losses give none."""
        return None if losses.embeds(self._config.loss) else super().count_right()

    def evaluate(self, model: nn.Module) -> PairEvaluation:
        """Judge ``model`` on the fixed validation pairs."""
        return _evaluate(model, self._validation, self._fixed, self._config, self._runtime, None)


@dataclass(frozen=True, eq=False)
class _FixedPairs:
    """The pairs of an evaluation, worked out once."""

    pairs: Tensor  # int64 ``[P, 2]``, indices into the split
    classes: Tensor  # int64 ``[P, 2]``
    images: Tensor  # int64 ``[M]``, the images that occur, each once
    places: Tensor  # int64 ``[P, 2]``, indices into ``images``


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
                loss = losses.binary_cross_entropy(scores, same)
    finally:
        model.train(was_training)
    return PairEvaluation(
        loss=loss.item(), pairs=fixed.pairs, same=same, scores=scores, threshold=threshold
    )


def _embed(model: nn.Module, split: Split, fixed: _FixedPairs, runtime: Runtime) -> Tensor:
    """Return the embeddings ``[M, D]`` of the images that occur; each is computed once."""
    return torch.cat(
        [
            _embedder(model).embed(normalise(split.images[part], runtime.dtype, split.about))
            for part in torch.split(fixed.images, _IMAGES)
        ]
    )


def _judge_embeddings(
    model: nn.Module, embeddings: Tensor, fixed: _FixedPairs, config: TrainConfig
) -> tuple[Tensor, Tensor]:
    """Return the scores ``[P]`` and the mean loss."""
    # The losses of a whole batch are taken over the fixed pairs in batches of the training's size.
    loss = losses.of(config.loss, losses.PAIRS)
    if not loss.embeds:
        compare = _embedder(model).compare
        parts = torch.split(fixed.places, _COMPARED)
        scores = _full(torch.cat([compare(*embeddings[part].unbind(1)) for part in parts]))
        same = fixed.classes[:, 0] == fixed.classes[:, 1]
        return scores, losses.binary_cross_entropy(scores, same)
    embeddings = _full(embeddings)
    found: list[Tensor] = []
    total = embeddings.new_zeros(())
    with torch.autocast(embeddings.device.type, enabled=False):
        for start in range(0, len(fixed.places), config.batch_size):
            part = slice(start, start + config.batch_size)
            pairs = embeddings[fixed.places[part]]
            total += loss.compute(pairs, fixed.classes[part], config.loss, 0.0) * len(pairs)
            first, second = pairs.unbind(1)
            found.append(
                functional.cosine_similarity(first, second)
                if loss.cosine
                else -losses.distances(first, second)
            )
    return torch.cat(found), total / len(fixed.places)


def _score_pairs(model: nn.Module, split: Split, fixed: _FixedPairs, runtime: Runtime) -> Tensor:
    """Return the logits ``[P]`` of a model that takes both images at once."""
    logits = []
    for part in torch.split(fixed.pairs, _IMAGES // 2):
        images = normalise(split.images[part.flatten()], runtime.dtype, split.about)
        logits.append(model(_in_pairs(images)))
    return _full(torch.cat(logits))


def _in_pairs(images: Tensor) -> Tensor:
    """Turn images ``[2 * P, C, rows, columns]`` into pairs, without the channels of grey ones."""
    planes = images.squeeze(1)
    return planes.reshape(-1, 2, *planes.shape[1:])


def _embedder(model: nn.Module) -> Embedder:
    return cast(Embedder, model)


def _full(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
