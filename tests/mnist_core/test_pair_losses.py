"""Losses of pairs against torch's own and against formulas written out in numpy."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mnist_core.losses import (
    binary_cross_entropy,
    contrastive,
    distances,
    supervised_contrastive,
    triplet,
)


def embeddings(n, d=5, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator) * scale


def labels(n, classes=3, seed=1):
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_binary_cross_entropy_is_the_two_class_cross_entropy(smoothing):
    logits = embeddings(20, 1).squeeze(1) * 3
    same = labels(20, 2) == 1
    ours = binary_cross_entropy(logits, same, smoothing=smoothing)
    # Two logits, of which the first is 0: the same probabilities.
    both = torch.stack([torch.zeros_like(logits), logits], dim=1)
    reference = functional.cross_entropy(both, same.long(), label_smoothing=smoothing)
    torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("margin", [0.3, 1.0, 4.0])
def test_contrastive_is_hadsells(margin):
    a, b, same = embeddings(40), embeddings(40, seed=2), labels(40, 2) == 1
    total = 0.0
    for x, y, alike in zip(a.numpy(), b.numpy(), same.tolist(), strict=True):
        distance = np.sqrt(((x - y) ** 2).sum())
        total += distance**2 / 2 if alike else max(0.0, margin - distance) ** 2 / 2
    assert contrastive(a, b, same, margin=margin).item() == pytest.approx(total / 40, rel=1e-12)


def hardest(points, classes):
    """Return each image's farthest of its class and nearest of another, by plain loops."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = []
    for i in range(len(points)):
        others = [j for j in range(len(points)) if j != i and classes[j] == classes[i]]
        strangers = [j for j in range(len(points)) if classes[j] != classes[i]]
        if others and strangers:
            far = max(others, key=lambda j, row=apart[i]: row[j])
            near = min(strangers, key=lambda j, row=apart[i]: row[j])
            found.append((i, far, near))
    return found


@pytest.mark.parametrize("margin", [0.2, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_triplet_is_torchs_on_the_hardest_triplets(margin, classes):
    points, of = embeddings(30), labels(30, classes)
    found = hardest(points.numpy(), of.tolist())
    assert len(found) > (20 if classes < 12 else 5)
    i, far, near = torch.tensor(found).T
    reference = nn.TripletMarginLoss(margin)(points[i], points[far], points[near])
    torch.testing.assert_close(triplet(points, of, margin=margin), reference)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_supcon_is_khoslas(temperature, classes):
    points, of = embeddings(30), labels(30, classes).tolist()
    z = points.numpy() / np.linalg.norm(points.numpy(), axis=1, keepdims=True)
    losses = []
    for i in range(30):
        others = [p for p in range(30) if p != i and of[p] == of[i]]
        if not others:
            continue
        share = sum(np.exp(z[i] @ z[a] / temperature) for a in range(30) if a != i)
        terms = [np.log(np.exp(z[i] @ z[p] / temperature) / share) for p in others]
        losses.append(-np.mean(terms))
    ours = supervised_contrastive(points, torch.tensor(of), temperature=temperature)
    assert ours.item() == pytest.approx(np.mean(losses), rel=1e-10)


def of_pairs(points, of, loss):
    """Apply a loss of pairs to the images, the first half beside the second."""
    a, b = points.chunk(2)
    return loss(a, b, of[: len(a)] == of[len(a) :])


LOSSES = {
    "contrastive": lambda x, of: of_pairs(x, of, lambda a, b, s: contrastive(a, b, s, margin=1.0)),
    "triplet": lambda x, of: triplet(x, of, margin=1.0),
    "supcon": lambda x, of: supervised_contrastive(x, of, temperature=0.1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("point", [0.0, 1.0, 1e3])
def test_gradients_are_finite_where_all_embeddings_are_equal(name, point, dtype):
    x = torch.full((8, 4), point, dtype=dtype, requires_grad=True)
    loss = LOSSES[name](x, torch.tensor([0, 0, 1, 1, 0, 1, 2, 1]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name):
    x = embeddings(10, scale=0.4).requires_grad_()
    of = torch.tensor([0, 1, 2, 0, 1, 0, 2, 2, 0, 1])
    assert torch.autograd.gradcheck(lambda points: LOSSES[name](points, of), (x,))


@pytest.mark.parametrize("of", [[0], [0, 0], [0, 1], [0, 0, 0, 0], [0, 1, 2, 3]])
@pytest.mark.parametrize("name", ["triplet", "supcon"])
def test_a_batch_without_what_is_compared_is_no_loss(name, of):
    x = embeddings(len(of), 3).requires_grad_()
    loss = LOSSES[name](x, torch.tensor(of))
    loss.backward()
    assert torch.isfinite(x.grad).all()
    if name == "triplet" or len(set(of)) == len(of):  # supcon has a loss within one class
        assert loss.item() == 0 and not x.grad.any()


def test_metric_losses_bring_classes_together():
    """Descending each of them separates three classes that were mixed at first."""
    of = torch.arange(24) % 3
    for name, loss in LOSSES.items():
        x = embeddings(24, 4, scale=0.1).requires_grad_()
        optimizer = torch.optim.Adam([x], lr=0.05)
        generator = torch.Generator().manual_seed(3)
        for _ in range(200):
            optimizer.zero_grad()
            pairs = torch.randperm(24, generator=generator)
            loss(x[pairs], of[pairs]).backward()
            optimizer.step()
        z = functional.normalize(x.detach(), dim=1) if name == "supcon" else x.detach()
        apart = torch.cdist(z, z)
        alike = of.unsqueeze(0) == of.unsqueeze(1)
        assert apart[alike].mean() < 0.5 * apart[~alike].mean(), name


def test_distances():
    a, b = embeddings(7), embeddings(7, seed=3)
    torch.testing.assert_close(distances(a, b), (a - b).square().sum(dim=1).sqrt())
