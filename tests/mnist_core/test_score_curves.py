"""Curves against scikit-learn's (see also ``test_pair_metrics.py``), and thinned ones."""

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from mnist_core.evaluation.score_curves import (
    average_precision,
    precision_recall,
    roc,
    roc_auc,
    thinned,
)

# Few values: ties, within and between both kinds.
SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(-5, 5).map(float)), min_size=2, max_size=50
).filter(lambda rows: len({true for true, _ in rows}) == 2)


def distances(curve, kept):
    """How far each point of ``curve`` is from the straight lines of ``kept``."""
    start = np.column_stack([kept.x, kept.y])[:-1]
    along = np.diff(np.column_stack([kept.x, kept.y]), axis=0)
    points = np.column_stack([curve.x, curve.y])[:, None]
    length = np.maximum((along**2).sum(axis=1), 1e-300)
    at = np.clip(((points - start) * along).sum(axis=2) / length, 0, 1)
    return np.linalg.norm(points - start - at[..., None] * along, axis=2).min(axis=1)


@given(SCORED)
def test_areas_are_scikit_learns(rows):
    truth, scores = map(np.array, zip(*rows, strict=True))
    assert roc_auc(roc(truth, scores)) == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-12)
    assert average_precision(precision_recall(truth, scores)) == pytest.approx(
        sk.average_precision_score(truth, scores), abs=1e-12
    )


@given(SCORED, st.integers(2, 12), st.sampled_from([roc, precision_recall]))
def test_a_thinned_curve_is_some_of_its_points_with_both_ends(rows, count, make):
    curve = make(*map(np.array, zip(*rows, strict=True)))
    kept = thinned(curve, count)
    assert len(kept.x) <= count
    places = np.searchsorted(-curve.thresholds, -kept.thresholds)
    assert list(places) == sorted({*places, 0, len(curve.x) - 1})
    np.testing.assert_array_equal(curve.x[places], kept.x)
    np.testing.assert_array_equal(curve.y[places], kept.y)
    # Where there would have been room for more, nothing is lost.
    if 1 < len(kept.x) < count:
        assert distances(curve, kept).max() < 1e-9


@pytest.mark.parametrize("separation", [0.0, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("make", [roc, precision_recall])
def test_forty_points_are_enough(separation, make):
    random = np.random.default_rng(0)
    truth = random.random(5000) < 0.1
    curve = make(truth, random.normal(size=5000) + separation * truth)
    kept = thinned(curve, 40)
    assert distances(curve, kept).max() < 0.05
    # The first few points of precision over recall jump between 0 and 1.
    steady = curve.x > 0.1 if make is precision_recall else curve.x >= 0
    assert distances(curve, kept)[steady].max() < 0.01
