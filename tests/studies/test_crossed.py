"""The error of seeds and images together, and what a study will see."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.statistics.crossed import (
    accuracy,
    difference,
    difference_image_variance,
    image_shares,
    image_variance,
)
from studies.statistics.intervals import mean_interval
from studies.statistics.power import power, seeds_needed
from studies.statistics.verdicts import judge_configurations


def models(draw, seeds=4, images=400, hard=None):
    hard = draw.standard_normal(images) if hard is None else hard
    own = 0.5 * draw.standard_normal(images)
    each = 0.8 * draw.standard_normal((seeds, images)) + 0.1 * draw.standard_normal((seeds, 1))
    return dict(enumerate(2 * hard + own + each < 3.5))


def test_by_hand():
    """Two seeds, two images; sums of squares of the two-way table, by hand."""
    bits = {0: np.array([True, True]), 1: np.array([True, False])}
    found = accuracy(bits)
    assert found.interval.mean == 0.75
    # Seeds: means 1 and .5, variance .125, of the mean .0625. Images: the same. Residuals are
    # +-.25 on one degree of freedom: .25, of the mean .0625, so no variance of the images is left.
    assert found.seeds == pytest.approx(0.25)
    assert image_variance(bits) == found.images == 0.0


def test_without_images_that_differ_it_is_the_t_interval_of_the_seeds():
    """Independent answers: the images' part is 0 on average, so below a tenth of the seeds'."""
    draw = np.random.default_rng(0)
    bits = {seed: draw.random(20_000) < 0.9 + 0.02 * seed for seed in range(4)}
    found = accuracy(bits)
    alone = mean_interval([float(of.mean()) for of in bits.values()])
    assert found.interval.mean == pytest.approx(alone.mean)
    assert found.interval.half_width == pytest.approx(alone.half_width, rel=0.1)


def test_the_images_part_is_what_other_images_would_change():
    draw = np.random.default_rng(1)
    found, means = [], []
    for _ in range(300):
        bits = models(draw, seeds=40, images=300)
        means.append(np.mean([of.mean() for of in bits.values()]))
        found.append(accuracy(bits))
    error = math.sqrt(np.mean([one.images**2 + one.seeds**2 for one in found]))
    assert error == pytest.approx(np.std(means), rel=0.1)


def test_a_difference_cancels_what_is_hard_for_both():
    draw = np.random.default_rng(2)
    hard = draw.standard_normal(1000)
    one, two = models(draw, hard=hard, images=1000), models(draw, hard=hard, images=1000)
    gap = difference(one, two)
    assert 0 < gap.images < 0.8 * accuracy(one).images
    assert difference(two, one).interval.mean == -gap.interval.mean
    assert difference(one, one).images == 0.0


def test_shares_add_up_to_the_pairs():
    draw = np.random.default_rng(3)
    hard = draw.standard_normal(2000)
    bits = {name: models(draw, hard=hard, images=2000) for name in "abcd"}
    shares = image_shares(bits)
    for one, two in (("a", "b"), ("a", "c"), ("c", "d")):
        pair = difference_image_variance(bits[one], bits[two])
        assert shares[one] + shares[two] == pytest.approx(pair, rel=0.35)
    two = image_shares({name: bits[name] for name in "ab"})
    assert sum(two.values()) == pytest.approx(difference_image_variance(bits["a"], bits["b"]))
    assert image_shares({"a": bits["a"]}) == {"a": 0.0}


def test_images_make_the_verdict_more_careful():
    draw = np.random.default_rng(4)
    hard = draw.standard_normal(300)
    bits = {name: models(draw, hard=hard, images=300) for name in "abc"}
    values = {n: {s: float(of.mean()) for s, of in by.items()} for n, by in bits.items()}
    plain, both = judge_configurations(values), judge_configurations(values, bits=bits)
    assert all(both.intervals[n].half_width >= plain.intervals[n].half_width for n in "abc")
    assert sum(both.images.values()) > 0
    for name, share in both.images.items():
        assert both.intervals[name].sd ** 2 == pytest.approx(plain.intervals[name].sd ** 2 + share)


@pytest.mark.parametrize(
    "bits", [{}, {0: np.zeros(0, bool)}, {0: np.zeros(3, bool), 1: np.zeros(2, bool)}]
)
def test_refuses_what_is_no_table(bits):
    with pytest.raises(ValueError, match="got"):
        accuracy(bits)


def test_one_seed_says_nothing():
    found = accuracy({0: np.array([True, False, True])})
    assert math.isinf(found.interval.half_width) and math.isnan(found.seeds)


def test_power_is_what_the_verdict_does():
    draw, hits = np.random.default_rng(5), 0
    for _ in range(400):
        values = 0.25 * draw.standard_normal((9, 4)) + np.r_[0.6, np.zeros(8)][:, None]
        judged = judge_configurations(
            {str(i): dict(enumerate(row)) for i, row in enumerate(values.tolist())}
        )
        hits += judged.comparison.sole and judged.comparison.best == "0"
    assert hits / 400 == pytest.approx(power(4, 0.6, 0.25, 9), abs=0.075)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.floats(0.05, 2), st.floats(0.05, 1), st.integers(2, 12))
def test_power_grows_with_the_difference_and_falls_with_the_rest(seeds, gap, sd, choices):
    found = power(seeds, gap, sd, choices)
    assert 0 <= found <= 1 + 1e-9
    assert power(seeds, 1.5 * gap, sd, choices) >= found - 1e-9
    assert power(seeds, gap, 1.5 * sd, choices) <= found + 1e-9
    assert power(seeds, gap, sd, choices, images=0.01) <= found + 1e-9


def test_seeds_needed():
    needed = seeds_needed(0.6, 0.25, 9)
    assert needed is not None and power(needed, 0.6, 0.25, 9) >= 0.8 > power(
        needed - 1, 0.6, 0.25, 9
    )
    assert seeds_needed(0.1, 0.25, 9, images=0.05) is None
    with pytest.raises(ValueError, match="needs"):
        power(1, 0.5, 0.2, 3)
