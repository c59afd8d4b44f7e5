"""Critical values of simultaneous comparisons: one-sided Dunnett, maximum modulus.

Both need the distribution of the largest of several t statistics that share one estimate of the
error. scipy has a Dunnett test of samples and Tukey's range, but neither of these quantiles, so
they are integrated here (Dunnett 1955, doi:10.1080/01621459.1955.10501294; Hochberg & Tamhane 1987,
appendix 3). Probabilities are exact to 1e-6.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NODES = 48
"""Nodes of each of the two quadratures; 200 nodes change no probability by 1e-6."""
KNOWN = 1e5
"""From this many degrees of freedom on the error counts as known."""
EQUAL = math.sqrt(0.5)
"""The loading if both means of each comparison have the same error."""


def dunnett_quantile(count: int, freedom: float, level: float, *, loading: float = EQUAL) -> float:
    """Return the one-sided critical value of ``count`` comparisons with one control.

    If all true means are equal, the largest of the t statistics ``(mean - control) / error``
    exceeds it with the probability ``level``.

    Args:
        count: number of comparisons, >= 1.
        freedom: degrees of freedom of the common error, >= 1; inf: it is known.
        level: in (0, 1).
        loading: square root of the control's share in the variance of a difference, in [0, 1). The
            correlation of two comparisons is its square. If the shares differ, the smallest one is
            conservative (Slepian 1962: a lower correlation makes a larger maximum more likely).
    """
    # Rounded to the conservative side, so that similar studies share the integration.
    loading = loading if math.isclose(loading, EQUAL) else math.floor(20 * loading) / 20
    return _dunnett(count, _rounded(freedom), level, loading)


def modulus_quantile(count: int, freedom: float, level: float) -> float:
    """Return the two-sided critical value of ``count`` independent means with a common error.

    One of the ``|t|`` statistics exceeds it with the probability ``level``: the studentized maximum
    modulus (Stoline & Ury 1979, doi:10.1080/00401706.1979.10489730).
    """
    return _modulus(count, _rounded(freedom), level)


def t_upper(freedom: float, level: float) -> float:
    """Return the t quantile that is exceeded with the probability ``level``."""
    from scipy import special  # type: ignore[import-untyped]

    return float(special.stdtrit(min(freedom, KNOWN), 1 - level))


def normal_nodes() -> tuple[Array, Array]:
    """Return nodes and weights of the expectation over a standard normal value."""
    return _normal_nodes(NODES)


def scale_nodes(freedom: float) -> tuple[Array, Array]:
    """Return nodes and weights of the expectation over ``sqrt(chi2(freedom) / freedom)``."""
    return _scale_nodes(freedom, NODES)


def _rounded(freedom: float) -> float:
    """Round down: below 10 to tenths, then to whole numbers, from 200 on to hundreds."""
    if freedom >= KNOWN:
        return KNOWN
    unit = 0.1 if freedom < 10 else 1.0 if freedom < 200 else 100.0
    return max(1.0, unit * math.floor(freedom / unit + 1e-9))


@lru_cache(maxsize=8192)
def _dunnett(count: int, freedom: float, level: float, loading: float) -> float:
    low, high = t_upper(freedom, level), t_upper(freedom, level / count)
    return _solve(lambda at: _all_below(at, count, freedom, loading), 1 - level, low, high)


@lru_cache(maxsize=8192)
def _modulus(count: int, freedom: float, level: float) -> float:
    from scipy import special

    spread, weights = scale_nodes(freedom)

    def below(at: float) -> float:
        return float(weights @ (2 * special.ndtr(at * spread) - 1) ** count)

    low, high = t_upper(freedom, level / 2), t_upper(freedom, level / 2 / count)
    return _solve(below, 1 - level, low, high)


def _all_below(statistic: float, count: int, freedom: float, loading: float) -> float:
    """Return the probability that no t statistic exceeds ``statistic``.

    Given the control's error z and the relative error s of the estimate, the statistics
    ``(loading * z + sqrt(1 - loading**2) * e_j) / s`` are independent.
    """
    from scipy import special

    z, normal = normal_nodes()
    spread, chi = scale_nodes(freedom)
    inner = (statistic * spread[:, None] - loading * z) / math.sqrt(1 - loading**2)
    return float(chi @ special.ndtr(inner) ** count @ normal)


@lru_cache(maxsize=4)
def _normal_nodes(count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    z = 7.0 * nodes
    density = weights * np.exp(-(z**2) / 2)
    return z, density / density.sum()


@lru_cache(maxsize=512)
def _scale_nodes(freedom: float, count: int) -> tuple[Array, Array]:
    from scipy import special

    if freedom >= KNOWN:
        return np.ones(1), np.ones(1)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    # Over s, not s**2: its density is smooth at 0 with one degree of freedom, too.
    low, high = (math.sqrt(special.chdtri(freedom, tail) / freedom) for tail in (1 - 1e-12, 1e-12))
    if freedom < 3:
        # Large statistics come from tiny s. With evenly placed nodes the tail of ten comparisons at
        # level .001 was twice the level; with these, that of twenty is right to 0.6 %.
        place = (nodes + 1) / 2
        weights, nodes = weights * place**3, 2 * place**4 - 1
    s = (low + high) / 2 + (high - low) / 2 * nodes
    log = (freedom - 1) * np.log(s) - freedom * s**2 / 2
    density = weights * np.exp(log - log.max())
    return s, density / density.sum()


def _solve(below: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Return where the increasing ``below`` is ``wanted``, by halving.

    The ends are the values without and with Bonferroni's correction.
    """
    while high - low > 1e-7 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < wanted else (low, middle)
    return (low + high) / 2
