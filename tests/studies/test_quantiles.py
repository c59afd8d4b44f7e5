"""Critical values against published tables, scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from studies.statistics.quantiles import (
    EQUAL,
    dunnett_quantile,
    modulus_quantile,
    t_upper,
)

DUNNETT = {
    5: (2.02, 2.44, 2.68, 2.85, 2.98, 3.08, 3.16, 3.24, 3.30),
    10: (1.81, 2.15, 2.34, 2.47, 2.56, 2.64, 2.70, 2.76, 2.81),
    20: (1.72, 2.03, 2.19, 2.30, 2.39, 2.46, 2.51, 2.56, 2.60),
    60: (1.67, 1.95, 2.10, 2.21, 2.28, 2.35, 2.39, 2.44, 2.48),
    math.inf: (1.64, 1.92, 2.06, 2.16, 2.23, 2.29, 2.34, 2.38, 2.42),
}
"""One-sided, level .05, by degrees of freedom, for 1 to 9 treatments (Dunnett 1955, table 1a)."""


def dunnett_tail(statistic, count, freedom, *, loading=EQUAL):
    """The probability that the largest of the t statistics exceeds ``statistic``, integrated."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    # Squared: small errors, which make large statistics, have most of the nodes.
    root = (nodes + 1) / 2
    s = stats.chi.ppf(root**2, freedom) / math.sqrt(freedom)
    z, normal = np.polynomial.hermite_e.hermegauss(80)
    inner = (statistic * s[:, None] - loading * z) / math.sqrt(1 - loading**2)
    below = stats.norm.cdf(inner) ** count @ normal / normal.sum()
    return 1 - (weights * root) @ below


@pytest.mark.parametrize("freedom", DUNNETT)
def test_dunnetts_table(freedom):
    ours = [dunnett_quantile(count, freedom, 0.05) for count in range(1, 10)]
    assert ours == pytest.approx(DUNNETT[freedom], abs=0.008)


@pytest.mark.parametrize(("count", "freedom"), [(2, 5), (3, 10), (5, 2), (8, 27), (10, 60)])
def test_the_maximum_modulus_as_scipy_integrates_it(count, freedom):
    at = modulus_quantile(count, freedom, 0.05)
    scale = stats.chi(freedom, scale=1 / math.sqrt(freedom))

    def inner(s):
        return (2 * stats.norm.cdf(at * s) - 1) ** count * scale.pdf(s)

    assert integrate.quad(inner, 0, 10, points=[1])[0] == pytest.approx(0.95, abs=1e-6)


def test_scipys_dunnett_agrees():
    """scipy integrates the multivariate t by quasi-random points, so to three digits."""
    draw = np.random.default_rng(1)
    control, *others = draw.normal(0, 1, (5, 6)) + np.array([0, 0.4, 0.9, 1.3, 0.2])[:, None]
    found = stats.dunnett(*others, control=control, alternative="greater", random_state=1)
    spread = math.sqrt(np.var([control, *others], axis=1, ddof=1).mean() * 2 / 6)
    ours = [dunnett_tail((one.mean() - control.mean()) / spread, 4, 25) for one in others]
    assert found.pvalue == pytest.approx(ours, abs=2e-3)


@pytest.mark.parametrize("freedom", [1, 2, 3.5, 27, math.inf])
def test_one_comparison_is_students_t(freedom):
    expected = stats.norm.isf(0.03) if math.isinf(freedom) else stats.t.isf(0.03, freedom)
    assert t_upper(freedom, 0.03) == pytest.approx(expected, rel=1e-4)
    assert dunnett_quantile(1, freedom, 0.03) == pytest.approx(expected, rel=1e-4)
    assert modulus_quantile(1, freedom, 0.06) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("count", [1, 12, 20])
def test_the_tail_is_right_with_one_degree_of_freedom(count):
    at = dunnett_quantile(count, 1, 0.001, loading=0)
    assert dunnett_tail(at, count, 1, loading=0) == pytest.approx(0.001, rel=0.008)


@settings(max_examples=40)
@given(
    st.integers(1, 20),
    st.floats(1, 300),
    st.floats(0.001, 0.2),
    st.sampled_from([0.0, 0.3, 0.5, EQUAL]),
)
def test_a_quantile_has_its_tail(count, freedom, level, loading):
    at = dunnett_quantile(count, freedom, level, loading=loading)
    # Degrees of freedom are rounded down: the tail is the level or less.
    assert dunnett_tail(at, count, freedom, loading=loading) <= 1.01 * level
    assert at <= t_upper(max(1, math.floor(freedom / 100) or freedom - 1), level / count) + 1e-3


@settings(max_examples=30)
@given(st.integers(1, 12), st.floats(1, 60), st.floats(0.005, 0.1))
def test_more_comparisons_and_less_correlation_ask_for_more(count, freedom, level):
    at = dunnett_quantile(count, freedom, level)
    assert dunnett_quantile(count + 1, freedom, level) > at
    assert dunnett_quantile(count + 1, freedom, level, loading=0.5) >= dunnett_quantile(
        count + 1, freedom, level
    )
    assert dunnett_quantile(count, freedom + 5, level) < at


def test_the_largest_of_simulated_t_values():
    draw = np.random.default_rng(2)
    means, spread = draw.normal(0, 1, (200_000, 6)), np.sqrt(draw.chisquare(8, 200_000) / 8)
    largest = (means[:, 1:] - means[:, :1]).max(axis=1) / spread / math.sqrt(2)
    assert (largest > dunnett_quantile(5, 8, 0.05)).mean() == pytest.approx(0.05, abs=0.002)
    modulus = np.abs(means).max(axis=1) / spread
    assert (modulus > modulus_quantile(6, 8, 0.05)).mean() == pytest.approx(0.05, abs=0.002)
