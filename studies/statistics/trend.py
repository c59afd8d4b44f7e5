"""The trend of a metric over choices that are numbers: a straight line, and how much it bends.

Both are contrasts of the means, weighted by their errors: the slope of a fitted line and, from four
levels on, the curvature of a fitted parabola. If all levels are equally good, each contrast is 0 on
average, whatever the curve's true form. The errors are those of the verdict on choices, so the luck
of the search is in them. The two contrasts hold together (maximum modulus of two).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from studies.statistics.estimates import Estimate, standard_error
from studies.statistics.intervals import CONFIDENCE, Interval, turned
from studies.statistics.quantiles import modulus_quantile, t_upper

LEAST = 3
"""Levels of a straight line: two are a comparison."""
BENDS = 4
"""Levels from which a curvature is judged: a parabola goes through any three."""
POINTS = 41
"""Points of the drawn curve."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How a metric changes over a number; differences are in the metric, whatever its direction.

    Attributes:
        low, high: the lowest and the highest level.
        log: whether the number is taken on a logarithmic scale.
        levels: the number of levels it is fitted to.
        change: of the fitted line, from the lowest level to the highest.
        bend: the fitted parabola in the middle of the scale minus the mean of its ends; None: there
            are too few levels.
        turn: where the parabola is highest or lowest, if that is between the ends; None: elsewhere.
        up: 1: shown to be better towards larger values; -1: towards smaller ones; 0: neither.
        peak: 1: shown to be better in the middle than a line says; -1: worse; 0: neither.
        curve: points of the fitted curve, with the ends of its interval at each.
    """

    low: float
    high: float
    log: bool
    levels: int
    change: Interval
    bend: Interval | None
    turn: float | None
    up: int
    peak: int
    curve: tuple[tuple[float, Interval], ...]

    @property
    def told(self) -> bool:
        """Whether there is a trend."""
        return self.up != 0 or self.peak != 0


def is_log(levels: Sequence[float]) -> bool:
    """Return whether ``levels`` lie more evenly on a logarithmic scale."""
    ordered = sorted(levels)
    if len(ordered) < LEAST or ordered[0] <= 0:
        return False
    return _unevenness([math.log(level) for level in ordered]) < _unevenness(ordered) - 1e-9


def _unevenness(ordered: Sequence[float]) -> float:
    gaps = np.diff(np.asarray(ordered, dtype=float))
    return float(gaps.std() / gaps.mean())


def trend(
    levels: Mapping[str, float], estimates: Mapping[str, Estimate], *, sign: float, level: float
) -> Trend | None:
    """Return the trend of ``estimates`` over ``levels``.

    Args:
        levels: the number that each choice is.
        estimates: of the choices; those without one are left out.
        sign: -1 where a smaller metric is better.
        level: probability that any trend is told if all choices are equally good, at most.

    Returns:
        None if there are fewer than three levels or their error is not known.
    """
    names = sorted((name for name in levels if name in estimates), key=lambda name: levels[name])
    found = [estimates[name] for name in names]
    variances = [sum(part.variance for part in one.common) for one in found]
    if len(names) < LEAST or not all(math.isfinite(one) and one > 0 for one in variances):
        return None
    values, log = [float(levels[name]) for name in names], is_log(list(levels.values()))
    places = _places(values, values, log=log)
    weights = 1 / np.asarray(variances)
    line = _solver(places, weights, degree=1)
    degree = 2 if len(names) >= BENDS else 1
    fit = _solver(places, weights, degree=degree)
    contrasts = [2 * line[1], *([-fit[2]] if degree == 2 else [])]
    judged = [_judged(one, found, len(contrasts), level) for one in contrasts]
    signs = [_sign(one) for one in judged]
    means = np.array([one.mean for one in found])
    return Trend(
        low=values[0],
        high=values[-1],
        log=log,
        levels=len(names),
        change=turned(judged[0], sign),
        bend=turned(judged[1], sign) if degree == 2 else None,
        turn=_turn(fit @ means, values, log=log) if degree == 2 else None,
        up=signs[0],
        peak=signs[1] if degree == 2 else 0,
        curve=_curve(fit, found, values, sign, log=log),
    )


def _places(at: Sequence[float], values: Sequence[float], *, log: bool) -> Array:
    """Return where ``at`` lies, -1 at the lowest and 1 at the highest of ``values``."""
    turn = np.log if log else np.asarray
    low, high = (float(turn(end)) for end in (values[0], values[-1]))
    found: Array = 2 * (np.asarray(turn(np.asarray(at, dtype=float))) - low) / (high - low) - 1
    return found


def _at(place: float, values: Sequence[float], *, log: bool) -> float:
    low, high = values[0], values[-1]
    share = (place + 1) / 2
    return low * (high / low) ** share if log else low + (high - low) * share


def _solver(places: Array, weights: Array, *, degree: int) -> Array:
    """Return the matrix that makes means into weighted least squares coefficients."""
    powers = np.vander(places, degree + 1, increasing=True)
    scaled = powers * np.sqrt(weights)[:, None]
    solved = np.linalg.pinv(scaled) * np.sqrt(weights)[None, :]
    return np.asarray(solved, dtype=np.float64)


def _error(contrast: Array, found: Sequence[Estimate]) -> tuple[float, float]:
    """Return the standard error of a weighted sum of means, and its degrees of freedom."""
    sides = (
        tuple(replace(part, variance=float(times) ** 2 * part.variance) for part in one.common)
        for times, one in zip(contrast, found, strict=True)
    )
    return standard_error(*sides)


def _sum(contrast: Array, found: Sequence[Estimate]) -> float:
    # Less the first mean, so that equal means have a difference of 0 to the last digit.
    first = found[0].mean
    return math.fsum(
        float(times) * (one.mean - first) for times, one in zip(contrast, found, strict=True)
    )


def _judged(contrast: Array, found: Sequence[Estimate], count: int, level: float) -> Interval:
    error, freedom = _error(contrast, found)
    half = modulus_quantile(count, freedom, level) * error
    mean = _sum(contrast, found)
    return Interval(n=len(found), mean=mean, sd=math.nan, low=mean - half, high=mean + half)


def _curve(
    fit: Array, found: Sequence[Estimate], values: Sequence[float], sign: float, *, log: bool
) -> tuple[tuple[float, Interval], ...]:
    """Return points of the fitted curve, each with an interval of its own."""
    points = []
    for place in np.linspace(-1, 1, POINTS):
        weights: Array = np.array([place**power for power in range(len(fit))], dtype=float) @ fit
        error, freedom = _error(weights, found)
        half = t_upper(freedom, (1 - CONFIDENCE) / 2) * error
        mean = found[0].mean + _sum(weights, found)
        one = Interval(n=len(found), mean=mean, sd=math.nan, low=mean - half, high=mean + half)
        points.append((_at(float(place), values, log=log), turned(one, sign)))
    return tuple(points)


def _turn(coefficients: Array, values: Sequence[float], *, log: bool) -> float | None:
    _, slope, bend = (float(one) for one in coefficients)
    place = -slope / (2 * bend) if bend else math.inf
    return _at(place, values, log=log) if abs(place) < 1 else None


def _sign(one: Interval) -> int:
    return (one.low > 0) - (one.high < 0)
