"""Evaluation of a classifier on a whole split, with metrics computed on the device."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import plugins
from mnist_core.batches.batches import normalise
from mnist_core.data import Split
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.evaluation import score_curves
from mnist_core.evaluation.evaluation import Mistake
from mnist_core.evaluation.score_curves import Curve, Floats
from mnist_core.plugins.python_files import raised
from mnist_core.tasks.own_code import own_file

CHUNK = 500  # images a forward pass


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model does on a split."""

    loss: float
    figures: Mapping[str, float]  # the values of ``FIGURES`` by name
    confusion: Tensor  # int64 ``[C, C]``, rows are true classes, columns predicted ones
    predictions: Tensor  # int64 ``[N]``
    labels: Tensor  # int64 ``[N]``, the true classes, on any device
    logits: Tensor  # ``[N, C]``, on any device

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name."""
        return dict(sorted({**self.figures, "loss": self.loss}.items()))

    @property
    def right(self) -> Tensor:
        """Bool ``[N]`` on the CPU: which images are classified right."""
        return self.predictions == self.labels.cpu()

    def mistakes(self, count: int) -> list[Mistake]:
        """Return the images that are surest to be of a wrong class, the surest first."""
        wrong = (~self.right).nonzero().flatten()
        sure = self._odds[wrong].gather(1, self.predictions[wrong].unsqueeze(1)).squeeze(1)
        order = sure.argsort(descending=True, stable=True)[:count]
        return [
            Mistake(images=(index,), truth=truth, said=said, score=round(score, 4))
            for index, truth, said, score in zip(
                wrong[order].tolist(),
                self.labels.cpu()[wrong[order]].tolist(),
                self.predictions[wrong[order]].tolist(),
                sure[order].tolist(),
                strict=True,
            )
        ]

    def roc_curve(self) -> Curve:
        """Return true over false positive rate of all classes at once (micro-averaged)."""
        return score_curves.roc(*self._one_against_the_rest)

    def precision_recall_curve(self) -> Curve:
        """Return precision over recall of all classes at once (micro-averaged)."""
        return score_curves.precision_recall(*self._one_against_the_rest)

    @cached_property
    def _odds(self) -> Tensor:
        """Probabilities, float64 ``[N, C]`` on the CPU."""
        return self.logits.cpu().double().softmax(dim=1)

    @cached_property
    def _one_against_the_rest(self) -> tuple[npt.NDArray[np.bool_], Floats]:
        """Return whether each image is of each class ``[N * C]``, and its probability."""
        truth = functional.one_hot(self.labels.cpu(), self._odds.shape[1]).bool()
        return truth.flatten().numpy(), self._odds.flatten().numpy()


def evaluate(model: nn.Module, split: Split, *, runtime: Runtime) -> Evaluation:
    """Run ``model`` in evaluation mode over ``split``; its mode is restored afterwards."""
    device = split.labels.device
    loss = torch.zeros((), device=device, dtype=torch.float64)
    found: list[Tensor] = []
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), runtime.autocast():
            for start in range(0, len(split), CHUNK):
                part = slice(start, start + CHUNK)
                images = normalise(split.images[part], runtime.dtype, split.about)
                logits = runtime.widen(model(images))
                loss += functional.cross_entropy(logits, split.labels[part], reduction="sum")
                found.append(logits)
    finally:
        model.train(was_training)
    return of_logits(torch.cat(found), split.labels, loss=loss.item() / len(split))


def of_logits(logits: Tensor, labels: Tensor, *, loss: float) -> Evaluation:
    """Return the figures of logits ``[N, C]`` of images of the classes int64 ``[N]``."""
    predictions = logits.argmax(dim=1)
    confusion = confusion_matrix(labels, predictions, logits.shape[1])
    return Evaluation(
        loss=loss,
        figures={name: _value(name, figure, confusion) for name, figure in all_figures().items()},
        confusion=confusion.cpu(),
        predictions=predictions.cpu(),
        labels=labels,
        logits=logits,
    )


def _value(name: str, figure: Callable[[Tensor], float], confusion: Tensor) -> float:
    """Return the value of a metric; ConfigError: it raised, or did not return a number."""
    try:
        return float(figure(confusion))
    except Exception as error:  # it may be a user's own, whatever it raises
        file = own_file(error) or Path(__file__)
        raise ConfigError(f"metric {name}: {raised(error, file)}") from error


def surest_mistakes(odds: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each prediction's probability and class, and the wrong ones, the surest first.

    ``odds`` are probabilities ``[N, C]``, ``labels`` int64 ``[N]``.
    """
    sure, said = odds.max(dim=1)
    wrong = (said != labels).nonzero().flatten()
    return sure, said, wrong[sure[wrong].argsort(descending=True, stable=True)]


def confusion_matrix(labels: Tensor, predictions: Tensor, n_classes: int) -> Tensor:
    """Count pairs: int64 ``[n_classes, n_classes]``, rows are true classes."""
    pairs = labels * n_classes + predictions
    return torch.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def accuracy(confusion: Tensor) -> float:
    """Return the fraction of right predictions."""
    return confusion.trace().item() / int(confusion.sum())


def balanced_accuracy(confusion: Tensor) -> float:
    """Return the mean recall of the classes that occur."""
    matrix = confusion.double()
    images = matrix.sum(dim=1)
    occurring = images > 0
    return (matrix.diagonal()[occurring] / images[occurring]).mean().item()


def macro_f1(confusion: Tensor) -> float:
    """Return the mean F1 of the classes that occur in truth or prediction."""
    matrix = confusion.double()
    right = matrix.diagonal()
    occurring = matrix.sum(dim=0) + matrix.sum(dim=1)
    present = occurring > 0
    return (2 * right[present] / occurring[present]).mean().item()


FIGURES: dict[str, Callable[[Tensor], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}
"""The metrics of a confusion matrix by name, besides the loss. A new metric is a new entry."""


def all_figures() -> Mapping[str, Callable[[Tensor], float]]:
    """Return the metrics of a confusion matrix by name, those of the user's own as well.

    Raises:
        ConfigError: if one of the user's own is broken, or is called as another one.
    """
    return {**FIGURES, **_own(tuple(plugins.folders()))}


@functools.lru_cache(maxsize=4)
def _own(folders: tuple[Path, ...]) -> Mapping[str, Callable[[Tensor], float]]:
    # Kept, as each evaluation would read all files of the project.
    del folders
    own = (one.name for one in plugins.plugins("metrics"))
    return {name: plugins.choose("metrics", name, FIGURES, Callable) for name in own}
