"""The error of an accuracy that comes from both the seeds and the images.

The models of one choice, trained on ``n`` seeds, answer the same ``m`` images: seeds and images are
crossed. A mean accuracy varies as

    seeds / n + images / m + both / (n * m)

(two-way random effects). The spread of the seeds' means shows the first and third term, the spread
of the images' means the second and third; the third alone, seen in the residuals, is taken off
once: Cameron, Gelbach & Miller 2011 (doi:10.1198/jbes.2010.07136), which for balanced data is the
moment estimate of Owen 2007 (doi:10.1214/07-AOAS122). The images' part of a *difference* is smaller
than of either mean, since most images are easy or hard for both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnist_core.comparison.spread import t_quantile
from studies.statistics.intervals import CONFIDENCE, Interval

Bits = npt.NDArray[np.bool_]
"""Whether each image is right: bool ``[images]``."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """A mean accuracy, or a difference of two, with both parts of its error.

    Attributes:
        interval: covers seeds and images; its ``n`` is the smaller number of seeds.
        seeds: standard error from the seeds, the images kept; NaN for one seed.
        images: standard error from the images, the seeds kept.
    """

    interval: Interval
    seeds: float
    images: float


def accuracy(bits: Mapping[int, Bits], *, confidence: float = CONFIDENCE) -> Crossed:
    """Return the mean accuracy of one choice, in [0, 1].

    Args:
        bits: by seed, all of the same images.
        confidence: in (0, 1).

    Raises:
        ValueError: if there is no seed or no image, or the numbers of images differ.
    """
    table = _table(bits)
    return _crossed(
        float(table.mean()),
        [(_seeds_variance(table), len(table))],
        image_variance(bits),
        confidence,
    )


def difference(
    first: Mapping[int, Bits], second: Mapping[int, Bits], *, confidence: float = CONFIDENCE
) -> Crossed:
    """Return the mean accuracy of ``first`` minus that of ``second``.

    The images are paired, the seeds are not: paired seeds have a mean correlation of .11 here, and
    pairing would halve the degrees of freedom.

    Raises:
        ValueError: as for ``accuracy``.
    """
    one, two = _table(first), _table(second)
    return _crossed(
        float(one.mean() - two.mean()),
        [(_seeds_variance(table), len(table)) for table in (one, two)],
        difference_image_variance(first, second),
        confidence,
    )


def image_variance(bits: Mapping[int, Bits]) -> float:
    """Return the images' part in the variance of a mean accuracy, >= 0."""
    table = _table(bits)
    return max(0.0, _means_variance(table.mean(axis=0)) - _residual_variance(table))


def difference_image_variance(first: Mapping[int, Bits], second: Mapping[int, Bits]) -> float:
    """Return the images' part in the variance of a difference of mean accuracies, >= 0."""
    one, two = _table(first), _table(second)
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"got {one.shape[1]} and {two.shape[1]} images; they must be the same")
    both = _means_variance(one.mean(axis=0) - two.mean(axis=0))
    return max(0.0, both - _residual_variance(one) - _residual_variance(two))


def image_shares(bits: Mapping[str, Mapping[int, Bits]]) -> dict[str, float]:
    """Return for each choice its share in the image variance of its differences from the others.

    The image variance of a difference is about the sum of the two shares: least squares over all
    pairs of choices, negative shares set to 0. So comparisons of many choices need one number each.
    """
    choices = list(bits)
    if len(choices) < 2:
        return dict.fromkeys(choices, 0.0)
    tables = {choice: _table(bits[choice]) for choice in choices}
    sizes = {table.shape[1] for table in tables.values()}
    if len(sizes) > 1:
        raise ValueError(f"got {sorted(sizes)} images; all choices must have the same ones")
    means = np.stack([tables[choice].mean(axis=0) for choice in choices])
    residual = np.array([_residual_variance(tables[choice]) for choice in choices])
    covariance = np.atleast_2d(np.cov(means)) / means.shape[1]
    alone = np.diag(covariance)
    pairs = alone[:, None] + alone[None, :] - 2 * covariance
    pairs = np.maximum(0.0, pairs - residual[:, None] - residual[None, :])
    np.fill_diagonal(pairs, 0.0)
    sums = pairs.sum(axis=1)
    k = len(choices)
    if k == 2:
        return dict.fromkeys(choices, float(sums[0]) / 2)
    shares = np.maximum(0.0, (sums - sums.sum() / (2 * (k - 1))) / (k - 2))
    return dict(zip(choices, shares.tolist(), strict=True))


def _crossed(
    mean: float, spreads: Sequence[tuple[float, int]], images: float, confidence: float
) -> Crossed:
    """Join the seeds' variances, each with its number of seeds, and the images' variance."""
    n = min(count for _, count in spreads)
    if n == 1:
        nothing = Interval(n=1, mean=mean, sd=math.nan, low=-math.inf, high=math.inf)
        return Crossed(interval=nothing, seeds=math.nan, images=math.sqrt(images))
    seeds = sum(variance for variance, _ in spreads)
    error = math.sqrt(seeds + images)
    # Satterthwaite 1946 (doi:10.2307/3002019): the images' part is known to thousands of degrees.
    uncertain = sum(variance**2 / (count - 1) for variance, count in spreads)
    freedom = (seeds + images) ** 2 / uncertain if uncertain > 0 else math.inf
    half = t_quantile(min(freedom, 1e6), confidence) * error
    return Crossed(
        interval=Interval(n=n, mean=mean, sd=error, low=mean - half, high=mean + half),
        seeds=math.sqrt(seeds),
        images=math.sqrt(images),
    )


def _table(bits: Mapping[int, Bits]) -> Array:
    """Return the bits as float64 ``[seeds, images]``."""
    if not bits:
        raise ValueError("needs the answers of at least one model, but got none")
    sizes = {len(of_seed) for of_seed in bits.values()}
    if len(sizes) > 1 or sizes == {0}:
        raise ValueError(f"got {sorted(sizes)} images; all models must answer the same ones, >= 1")
    return np.stack([np.asarray(bits[seed], dtype=np.float64) for seed in sorted(bits)])


def _means_variance(values: Array) -> float:
    """Return the variance of the mean of ``values``; 0 for a single one."""
    return float(values.var(ddof=1)) / values.size if values.size > 1 else 0.0


def _seeds_variance(table: Array) -> float:
    return _means_variance(table.mean(axis=1))


def _residual_variance(table: Array) -> float:
    """Return the part of seeds and images together in the variance of the mean: both / (n * m)."""
    n, m = table.shape
    if n == 1 or m == 1:
        return 0.0
    seeds, images = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    residual = table - seeds - images + table.mean()
    return float(np.square(residual).sum() / ((n - 1) * (m - 1)) / (n * m))
