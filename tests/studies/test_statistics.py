"""Intervals against scipy and hand computation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.statistics.intervals import mean_interval, paired_difference, value_interval

finite = st.floats(-1e3, 1e3, allow_nan=False)


def test_interval_by_hand():
    # mean 2, sd 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484138
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.n, interval.mean, interval.sd) == (3, 2.0, 1.0)
    assert interval.half_width == pytest.approx(2.4841377, abs=1e-6)


@settings(max_examples=50)
@given(st.lists(finite, min_size=2, max_size=12))
def test_interval_matches_scipy(values):
    if max(values) - min(values) < 1e-6:
        return
    interval = mean_interval(values)
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
    )
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_paired_difference_matches_scipy_ttest_rel():
    a = {1: 0.981, 2: 0.979, 3: 0.985, 4: 0.980}
    b = {4: 0.977, 3: 0.979, 2: 0.978, 1: 0.976}
    expected = stats.ttest_rel(list(a.values()), [b[seed] for seed in a]).confidence_interval(0.95)
    interval = paired_difference(a, b)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_pairs_only_common_seeds():
    interval = paired_difference({1: 1.0, 2: 5.0}, {2: 4.0, 3: 0.0})
    assert interval is not None and (interval.n, interval.mean) == (1, 1.0)
    assert paired_difference({1: 1.0}, {2: 1.0}) is None


def test_one_value_says_nothing():
    interval = mean_interval([0.98])
    assert math.isnan(interval.sd) and interval.includes(0.0) and math.isinf(interval.half_width)


def test_equal_values_have_no_spread():
    interval = mean_interval([0.1, 0.1, 0.1])
    assert (interval.mean, interval.sd, interval.low, interval.high) == (0.1, 0.0, 0.1, 0.1)


def test_what_is_read_in_steps_has_a_width():
    """1,000 images, three seeds: half a step of rounding, uniform, through the t quantile."""
    step, t = 1e-3, stats.t.ppf(0.975, 2)
    exact = np.random.default_rng(0).uniform(0.9, 1, 100_000)
    error = np.std(np.round(exact, 3) - exact)
    equal = value_interval([0.98] * 3, step=step)
    assert equal.sd == 0
    assert equal.half_width == pytest.approx(t * error / math.sqrt(3), rel=0.01)
    gap = paired_difference({1: 0.981, 2: 0.982}, {1: 0.980, 2: 0.981}, step=step)
    assert gap is not None and gap.includes(0.0)  # one image is no proof
    far = paired_difference({1: 0.98, 2: 0.98, 3: 0.98}, {1: 0.97, 2: 0.97, 3: 0.97}, step=step)
    assert far is not None and not far.includes(0.0)
    wide = [0.97, 0.98, 0.99]
    assert value_interval(wide, step=step) == mean_interval(wide)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_interval_refuses(values):
    with pytest.raises(ValueError, match="interval"):
        mean_interval(values)
