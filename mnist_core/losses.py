"""The losses, one entry each; a new loss is a new function and its entry in ``LOSSES``.

All are means: scalars of float32 or float64, computed without a copy to the host.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.table import Table

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

CLASSIFICATION, PAIRS = "classification", "pairs"


class LossConfig(Table):
    """What is minimised; ``LOSSES`` says for which task."""

    name: str | None = Field(None, description="left out: cross_entropy, or bce for pairs")
    gamma: float = Field(2.0, ge=0, le=10, description="focal: weight of hard images")
    margin: float = Field(1.0, gt=0, le=100, description="contrastive, triplet: wanted distance")
    temperature: float = Field(0.1, gt=0, le=10, description="supcon")


@dataclass(frozen=True)
class Loss:
    """A loss."""

    task: str
    # ``(outputs, classes, settings, smoothing)`` to the mean loss of a batch: of logits ``[B, C]``
    # and classes ``[B]``; of pairs, of logits ``[B]``, or of embeddings ``[B, 2, D]`` if
    # ``embeds``, and classes ``[B, 2]``
    compute: Callable[[Tensor, Tensor, LossConfig, float], Tensor]
    smooths: bool = False
    # whether it compares embeddings; then the head of the model is not trained
    embeds: bool = False
    cosine: bool = False  # whether embeddings are alike by their cosine; else by their L2 distance


def names(task: str) -> list[str]:
    """Return the losses of ``task``, the default first; those of broken files are left out."""
    found = [name for name, loss in LOSSES.items() if loss.task == task]
    for own in plugins.plugins("losses"):
        with suppress(ConfigError):
            found += [own.name] if own.value(Loss).task == task else []
    return found


def loss(name: str) -> Loss:
    """Return the loss called ``name``, which may be a user's own.

    Raises:
        ConfigError: if there is none, two places have it, or its file is broken.
    """
    return plugins.choose("losses", name, LOSSES, Loss)


def of(config: LossConfig, task: str) -> Loss:
    """Return the loss that ``config`` names, or the default of ``task``."""
    return loss(config.name or names(task)[0])


def embeds(config: LossConfig) -> bool:
    """Return whether the loss of ``config`` compares embeddings."""
    return config.name is not None and loss(config.name).embeds


def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of logits ``[B, C]`` and int64 ``[B]``, nats an image."""
    from torch.nn import functional

    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def focal(logits: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """Return the mean of -(1 - p)^gamma log p, p the probability of the true class.

    Lin et al. 2017, arXiv:1708.02002, without class weights, of logits ``[B, C]`` and int64
    ``[B]``. The higher gamma, the less the images count that are right already; 0 is the
    cross-entropy.
    """
    import torch
    from torch.nn import functional

    log_p = functional.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
    # expm1: 1 - p is exact where p is near 1, and its power has a gradient there.
    return -((-torch.expm1(log_p)).clamp_min(1e-12) ** gamma * log_p).mean()


def binary_cross_entropy(logits: Tensor, same: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of logits ``[B]`` and "the same class?", bool ``[B]``, nats a pair.

    A target is 1 with the fraction ``smoothing`` of it spread over both answers.
    """
    from torch.nn import functional

    targets = same.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, targets)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the L2 distances ``[B]`` of two ``[B, D]``; their gradient where they are 0 is 0."""
    import torch

    apart: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return apart


def contrastive(first: Tensor, second: Tensor, same: Tensor, *, margin: float) -> Tensor:
    """Return the contrastive loss (Hadsell, Chopra, LeCun 2006, equation 4).

    ``D**2 / 2`` for a pair of the same class (bool ``[B]``), ``max(0, margin - D)**2 / 2`` for
    others; D is the L2 distance of the embeddings ``[B, D]``.
    """
    import torch

    squared = (first - second).square().sum(dim=1)
    lacking = (margin - distances(first, second)).clamp_min(0)
    return torch.where(same, squared, lacking.square()).mean() / 2


def triplet(embeddings: Tensor, classes: Tensor, *, margin: float) -> Tensor:
    """Return the batch-hard triplet loss (Hermans et al. 2017, arXiv:1703.07737, equation 5).

    Every image is an anchor: ``max(0, margin + D(anchor, farthest image of its class) -
    D(anchor, nearest image of another class))``, of embeddings ``[N, D]`` and int64 ``[N]``.

    The mean is over the anchors that have both; 0 where there are none.
    """
    import torch
    from torch.nn import functional

    with torch.no_grad():
        apart = torch.cdist(embeddings, embeddings)
        alike, itself = _alike(classes)
        others = alike & ~itself
        farthest = apart.masked_fill(~others, -1.0).argmax(dim=1)
        nearest = apart.masked_fill(alike, torch.inf).argmin(dim=1)
        usable = others.any(dim=1) & ~alike.all(dim=1)
    losses = functional.triplet_margin_loss(
        embeddings, embeddings[farthest], embeddings[nearest], margin=margin, reduction="none"
    )
    return _mean(losses, usable)


def supervised_contrastive(embeddings: Tensor, classes: Tensor, *, temperature: float) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, equation 2).

    ``-mean over p of log(exp(z_i z_p / t) / sum over a of exp(z_i z_a / t))``: z are the embeddings
    ``[N, D]`` scaled to length 1, p the other images of i's class, a all images but i, t > 0.

    The mean is over the images i that have a p; 0 where there are none.
    """
    import torch
    from torch.nn import functional

    unit = functional.normalize(embeddings, dim=1)
    alike, itself = _alike(classes)
    others = alike & ~itself
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity.log_softmax(dim=1)
    n_others = others.sum(dim=1)
    losses = -torch.where(others, log_share, 0.0).sum(dim=1) / n_others.clamp_min(1)
    return _mean(losses, n_others > 0)


def _alike(classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return bool ``[N, N]``: which images are of one class, and which are the same."""
    import torch

    alike = classes.unsqueeze(0) == classes.unsqueeze(1)
    return alike, torch.eye(len(classes), dtype=torch.bool, device=classes.device)


def _mean(losses: Tensor, usable: Tensor) -> Tensor:
    """Return the mean of the usable losses ``[N]``, 0 where there are none."""
    import torch

    return torch.where(usable, losses, 0.0).sum() / usable.sum().clamp_min(1)


def _same(classes: Tensor) -> Tensor:
    return classes[:, 0] == classes[:, 1]


LOSSES = {
    "cross_entropy": Loss(
        CLASSIFICATION, lambda x, of, _, smoothing: cross_entropy(x, of, smoothing=smoothing), True
    ),
    "focal": Loss(CLASSIFICATION, lambda x, of, settings, _: focal(x, of, gamma=settings.gamma)),
    "bce": Loss(
        PAIRS,
        lambda x, of, _, smoothing: binary_cross_entropy(x, _same(of), smoothing=smoothing),
        True,
    ),
    "contrastive": Loss(
        PAIRS,
        lambda x, of, settings, _: contrastive(x[:, 0], x[:, 1], _same(of), margin=settings.margin),
        embeds=True,
    ),
    "triplet": Loss(
        PAIRS,
        lambda x, of, settings, _: triplet(x.flatten(0, 1), of.flatten(), margin=settings.margin),
        embeds=True,
    ),
    "supcon": Loss(
        PAIRS,
        lambda x, of, settings, _: supervised_contrastive(
            x.flatten(0, 1), of.flatten(), temperature=settings.temperature
        ),
        embeds=True,
        cosine=True,
    ),
}
