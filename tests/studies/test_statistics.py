"""Intervals against scipy and hand computation; the verdict on constructed cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.core.statistics import judge, mean_interval, noisy, paired_difference, value_interval

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


def test_one_image_on_every_seed_is_a_tie():
    values = {"a": {1: 0.981, 2: 0.980, 3: 0.983}, "b": {1: 0.980, 2: 0.979, 3: 0.982}}
    assert judge(values).ties == ()
    assert judge(values, step=1e-3).ties == ("b",)


def test_noisy_is_what_is_far_wider_than_usual():
    spread = {"a": 0.001, "b": 0.002, "c": 0.003, "wild": 0.4}
    intervals = {name: mean_interval([0.9 - by, 0.9 + by]) for name, by in spread.items()}
    assert noisy(intervals) == ("wild",)
    assert noisy({name: intervals[name] for name in "abc"}) == ()
    assert noisy({"a": mean_interval([0.9]), "b": intervals["wild"]}) == ()
    assert noisy({}) == ()


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_interval_refuses(values):
    with pytest.raises(ValueError, match="interval"):
        mean_interval(values)


CLEAR = {"a": {1: 0.99, 2: 0.991, 3: 0.989}, "b": {1: 0.90, 2: 0.901, 3: 0.898}}
CLOSE = {"a": {1: 0.99, 2: 0.97, 3: 0.98}, "b": {1: 0.97, 2: 0.98, 3: 0.98}}


def test_a_clear_winner_has_no_ties():
    verdict = judge(CLEAR)
    assert verdict is not None and (verdict.best, verdict.ties) == ("a", ())


def test_an_interval_around_zero_is_a_tie():
    verdict = judge(CLOSE | {"c": {1: 0.5, 2: 0.49, 3: 0.51}})
    assert verdict is not None and (verdict.best, verdict.ties) == ("a", ("b",))
    assert set(verdict.differences) == {"b", "c"}


def test_pairing_finds_what_two_separate_intervals_hide():
    noisy = {seed: 0.9 + 0.02 * seed for seed in range(4)}
    shifted = {seed: value - 0.005 - 0.0001 * seed for seed, value in noisy.items()}
    verdict = judge({"a": noisy, "b": shifted})
    assert verdict is not None and verdict.ties == ()


@pytest.mark.parametrize("values", [CLEAR, CLOSE])
def test_the_flipped_problem_has_the_same_answer(values):
    flipped = {name: {s: -v for s, v in by_seed.items()} for name, by_seed in values.items()}
    plain, mirrored = judge(values), judge(flipped, direction="minimize")
    assert plain is not None and mirrored is not None
    assert (plain.best, plain.ties) == (mirrored.best, mirrored.ties)


def test_choices_without_values_are_left_aside():
    assert judge({"a": {}}) is None
    verdict = judge({"a": {}, "b": {1: 1.0}, "c": {1: 0.5}})
    assert verdict is not None and (verdict.best, verdict.ties) == ("b", ("c",))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_one_that_failed_on_a_seed_is_not_the_best_by_luck_on_the_others(direction):
    sign = 1 if direction == "maximize" else -1
    values = {name: {s: sign * v for s, v in of.items()} for name, of in CLEAR.items()}
    values["lucky"] = {1: sign * 0.999}
    verdict = judge(values, direction=direction, failed=["lucky"])
    assert verdict is not None and (verdict.best, verdict.ties) == ("a", ("lucky",))
    # Where all failed somewhere, one with values on most seeds is.
    verdict = judge(values, direction=direction, failed=["lucky", "a", "b"])
    assert verdict is not None and verdict.best == "a"
    # Fewer seeds are no failure: a study may go on with fewer than before.
    verdict = judge(values, direction=direction)
    assert verdict is not None and verdict.best == "lucky"
