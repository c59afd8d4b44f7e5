"""Losses of pairs: on the logit of a pair, on a distance, on the embeddings of a whole batch.

All are means, of float32 or float64 scalars, computed without a copy to the host (no shape depends
on a value), and have finite gradients where two embeddings are equal.
"""

import torch
from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, same: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of "the same class?", nats a pair.

    Args:
        logits: ``[B]``, positive for the same class.
        same: bool ``[B]``.
        smoothing: a target is 1 with this share of it spread over both answers.
    """
    targets = same.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, targets)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the L2 distances ``[B]`` of two ``[B, D]``; their gradient where they are 0 is 0."""
    apart: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return apart


def contrastive(first: Tensor, second: Tensor, same: Tensor, *, margin: float) -> Tensor:
    """Return the contrastive loss (Hadsell, Chopra, LeCun 2006, equation 4).

    ``D**2 / 2`` for a pair of the same class and ``max(0, margin - D)**2 / 2`` for others, where D
    is the L2 distance of the embeddings.

    Args:
        first: embeddings ``[B, D]``.
        second: embeddings ``[B, D]``.
        same: bool ``[B]``.
        margin: distance up to which different images push each other away, > 0.
    """
    squared = (first - second).square().sum(dim=1)
    lacking = (margin - distances(first, second)).clamp_min(0)
    return torch.where(same, squared, lacking.square()).mean() / 2


def triplet(embeddings: Tensor, classes: Tensor, *, margin: float) -> Tensor:
    """Return the batch-hard triplet loss (Hermans et al. 2017, arXiv:1703.07737, equation 5).

    Every image is an anchor: ``max(0, margin + D(anchor, farthest image of its class) -
    D(anchor, nearest image of another class))``, the L2 distances as torch's
    ``TripletMarginLoss`` takes them.

    Args:
        embeddings: ``[N, D]``.
        classes: int64 ``[N]``.
        margin: how much farther an image of another class is to be, > 0.

    Returns:
        The mean over the anchors that have both; 0 where there are none.
    """
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

    ``-mean over p of log(exp(z_i z_p / t) / sum over a of exp(z_i z_a / t))``, where z are the
    embeddings scaled to length 1, p the other images of i's class and a all images but i.

    Args:
        embeddings: ``[N, D]``.
        classes: int64 ``[N]``.
        temperature: t, > 0.

    Returns:
        The mean over the images i that have a p; 0 where there are none.
    """
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
    alike = classes.unsqueeze(0) == classes.unsqueeze(1)
    return alike, torch.eye(len(classes), dtype=torch.bool, device=classes.device)


def _mean(losses: Tensor, usable: Tensor) -> Tensor:
    """Return the mean of the usable losses ``[N]``, 0 where there are none."""
    return torch.where(usable, losses, 0.0).sum() / usable.sum().clamp_min(1)
