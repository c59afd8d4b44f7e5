"""Figures of pairs against scikit-learn, and the bootstrap against one written out."""

import json

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnist_core.batches.pair_batches import evaluation_pairs
from mnist_core.tasks import pair_metrics
from mnist_core.tasks.pair_metrics import PairEvaluation, best_threshold

# Few values: ties, within and between both kinds.
SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(-5, 5).map(float)), min_size=2, max_size=50
).filter(lambda rows: len({same for same, _ in rows}) == 2)


def evaluation(same, scores, *, pairs=None, threshold=None):
    n = len(same)
    if pairs is None:
        pairs = torch.arange(2 * n).view(n, 2)
    return PairEvaluation(
        loss=0.25,
        pairs=pairs,
        same=torch.as_tensor(same, dtype=torch.bool),
        scores=torch.as_tensor(scores),
        threshold=threshold,
    )


def scored(separation, *, n_images=1000, count=4000, seed=0):
    """Fixed pairs of balanced classes with normal scores."""
    labels = torch.arange(n_images) % 10
    pairs = evaluation_pairs(labels, count, seed)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    noise = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return pairs, same, noise + separation * same


@given(SCORED)
def test_areas_and_curves_are_scikit_learns(rows):
    same, scores = map(np.array, zip(*rows, strict=True))
    found = evaluation(same, scores)
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(same, scores), abs=1e-12)
    reference = sk.average_precision_score(same, scores)
    assert found.average_precision == pytest.approx(reference, abs=1e-12)
    roc = found.roc_curve()
    for ours, theirs in zip(
        (roc.x, roc.y, roc.thresholds),
        sk.roc_curve(same, scores, drop_intermediate=False),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    curve = found.precision_recall_curve()
    precision, recall, thresholds = sk.precision_recall_curve(same, scores)
    np.testing.assert_allclose(curve.y[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.x[::-1], recall[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.thresholds[::-1], thresholds)


@given(SCORED, st.floats(-6, 6))
def test_accuracy_and_confusion_at_a_threshold_are_scikit_learns(rows, threshold):
    same, scores = map(np.array, zip(*rows, strict=True))
    found = evaluation(same, scores, threshold=threshold)
    predicted = scores >= threshold
    assert found.threshold == threshold
    assert found.accuracy == sk.accuracy_score(same, predicted)
    np.testing.assert_array_equal(
        found.confusion.numpy(), sk.confusion_matrix(same, predicted, labels=[False, True])
    )
    assert found.confusion.dtype == torch.int64
    np.testing.assert_array_equal(found.predictions.numpy(), predicted)


@given(SCORED)
def test_no_threshold_is_better_than_the_best(rows):
    same, scores = map(np.array, zip(*rows, strict=True))
    best = best_threshold(same, scores)
    accuracy = ((scores >= best) == same).mean()
    tried = np.concatenate([scores - 0.5, scores + 0.5])
    assert accuracy >= max(((scores >= value) == same).mean() for value in tried)
    assert evaluation(same, scores).accuracy == accuracy


@pytest.mark.parametrize(
    ("same", "scores", "expected"),
    [
        ([0, 1], [1.0, 3.0], 2.0),  # the middle
        ([0, 0, 1, 1], [-4.0, 0.0, 1.0, 9.0], 0.5),
        ([1, 1, 1], [2.0, 3.0, 4.0], 2.0),  # all the same: the lowest score
        ([0, 0], [2.0, 3.0], np.nextafter(3.0, 4)),  # none: above the highest
        ([0, 1, 0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2.5),  # median of 0.5, 2.5, 4.5
        ([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0], 2.5),  # of 0.5 and 2.5 the higher one
        ([0, 1], [1.0, np.nextafter(1.0, 2)], np.nextafter(1.0, 2)),  # no number between
        ([0, 1], [-1e308, 1e308], 0.0),  # no overflow
        ([0, 1], [1e308, 1.5e308], 1.25e308),
    ],
)
def test_the_best_threshold(same, scores, expected):
    assert best_threshold(np.array(same, dtype=bool), np.array(scores)) == expected


def test_metrics_are_flat_and_survive_json():
    pairs, same, scores = scored(3.0)
    found = evaluation(same, scores, pairs=pairs)
    names = {"accuracy", "loss", "roc_auc", "average_precision", "threshold"}
    assert set(found.metrics) == names
    assert all(type(value) is float for value in found.metrics.values())
    kept = json.loads(json.dumps(found.metrics))
    # A threshold that was written down gives the same accuracy on the same pairs.
    again = evaluation(same, scores, pairs=pairs, threshold=kept["threshold"])
    assert again.metrics == found.metrics
    other = scored(3.0, seed=1)
    carried = evaluation(other[1], other[2], pairs=other[0], threshold=kept["threshold"])
    assert carried.threshold == kept["threshold"]
    assert carried.accuracy < evaluation(other[1], other[2], pairs=other[0]).accuracy


def bootstrap(found, *, resamples, seed):
    """Resample images one resample at a time: the definition."""
    random = np.random.default_rng(seed)
    right = (found.predictions == found.same).numpy()
    images = sorted({image for pair in found.pairs.tolist() for image in pair})
    accuracies = []
    for _ in range(resamples):
        drawn = random.choice(images, size=len(images))
        times = dict(zip(*np.unique(drawn, return_counts=True), strict=True))
        weights = [times.get(a, 0) * times.get(b, 0) for a, b in found.pairs.tolist()]
        accuracies.append(np.average(right, weights=weights))
    return np.quantile(accuracies, [0.025, 0.975])


def test_the_interval_is_that_of_resampled_images(monkeypatch):
    pairs, same, scores = scored(2.0, n_images=40, count=200)
    found = evaluation(same, scores, pairs=pairs)
    low, high = found.interval(resamples=2000)
    monkeypatch.setattr(pair_metrics, "_WEIGHTS", 1)  # one resample at a time
    assert found.interval(resamples=2000) == (low, high)
    monkeypatch.undo()
    expected = bootstrap(found, resamples=2000, seed=1)
    np.testing.assert_allclose([low, high], expected, atol=0.012)
    assert low < found.accuracy < high
    assert found.interval() == found.interval()
    assert found.interval(seed=1) != found.interval()
    narrow = found.interval(level=0.5)
    assert low < narrow[0] < found.accuracy < narrow[1] < high


def test_pairs_that_share_images_are_not_independent():
    """The errors are those of a few bad images: an interval over pairs would be too narrow."""
    pairs, same, _ = scored(0.0)
    bad = (pairs < 20).any(dim=1)
    scores = torch.where(bad, ~same, same).double()
    found = evaluation(same, scores, pairs=pairs, threshold=0.5)
    low, high = found.interval()
    wrong = int(bad.sum())
    naive = stats.binomtest(4000 - wrong, 4000).proportion_ci()
    assert found.accuracy == 1 - wrong / 4000
    assert high - low > 2 * (naive.high - naive.low)
    # Twenty images of 1,000, drawn 20 +- 4.4 times: their share of pairs varies in proportion.
    expected = 2 * 1.96 * np.sqrt(20) / 20 * wrong / 4000
    assert high - low == pytest.approx(expected, rel=0.2)


def test_few_or_perfect_pairs_have_an_interval():
    found = evaluation([True, False], [1.0, 0.0])
    assert found.interval() == (1.0, 1.0)
    single = evaluation([True], [1.0])
    assert single.interval(resamples=1, seed=3) == (1.0, 1.0)


def test_the_hardest_pairs_come_first():
    found = evaluation([1, 1, 0, 0, 1], [5.0, -3.0, 1.5, -9.0, 0.25], threshold=1.0)
    # Wrong by 4, 0.75 and 0.5; right by 4 and 10.
    assert found.hardest(5).tolist() == [1, 4, 2, 0, 3]
    assert found.hardest(2).tolist() == [1, 4]
    assert len(found.hardest(99)) == 5
    wrong = found.predictions != found.same
    assert set(found.hardest(int(wrong.sum())).tolist()) == set(wrong.nonzero().flatten().tolist())


def test_scores_that_are_no_numbers_raise_nothing():
    """The trainer says what is wrong, a loss that is not finite, once it is told the figures."""
    found = evaluation([1, 0, 1], [float("nan"), 1.0, 2.0])
    assert found.metrics["loss"] == 0.25
