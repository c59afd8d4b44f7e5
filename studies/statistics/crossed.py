"""The error of an accuracy that comes from both the seeds and the images.

The models of one choice, trained on ``n`` seeds, answer the same ``m`` images: seeds and images are
crossed. A mean accuracy varies as

    seeds / n + images / m + both / (n * m)

(two-way random effects). The spread of the seeds' means shows the first and third term, the spread
of the images' means the second and third; the third alone, seen in the residuals, is taken off
once: Cameron, Gelbach & Miller 2011 (doi:10.1198/jbes.2010.07136), which for balanced data is the
moment estimate of Owen 2007 (doi:10.1214/07-AOAS122). The images' part of a *difference* is smaller
than of either mean, since most images are easy or hard for both.

Pairs of images share images: 4,000 pairs of 5,000 images have each image 1.6 times. Two pairs with
a common image vary together, so the images are the units there, too. The variance of a mean over
pairs adds the products of all two errors whose pairs share an image (Fafchamps & Gubert 2007,
doi:10.1016/j.jdeveco.2006.05.005; Aronow, Samii & Assenova 2015, doi:10.1093/pan/mpv018).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnist_core.comparison.spread import t_quantile
from mnist_core.evaluation.right_answers import RightAnswers
from studies.statistics.intervals import CONFIDENCE, Interval

Bits = npt.NDArray[np.bool_] | RightAnswers
"""Whether each image is right, bool ``[images]``; or the same of pairs, with their images."""
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


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The answers of one choice.

    Attributes:
        values: float64 ``[seeds, images]``, or ``[seeds, pairs]``.
        pairs: int64 ``[pairs, 2]``, the images of each pair; None: they are images.
    """

    values: Array
    pairs: npt.NDArray[np.int64] | None = None

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def means(self) -> Array:
        """The mean over the seeds, of each image or pair."""
        return np.asarray(self.values.mean(axis=0))


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
        float(table.values.mean()),
        [(_seeds_variance(table), table.seeds)],
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
        float(one.values.mean() - two.values.mean()),
        [(_seeds_variance(table), table.seeds) for table in (one, two)],
        difference_image_variance(first, second),
        confidence,
    )


def image_variance(bits: Mapping[int, Bits]) -> float:
    """Return the images' part in the variance of a mean accuracy, >= 0."""
    table = _table(bits)
    return max(0.0, _mean_variance(table.means, table.pairs) - _residual_variance(table))


def difference_image_variance(first: Mapping[int, Bits], second: Mapping[int, Bits]) -> float:
    """Return the images' part in the variance of a difference of mean accuracies, >= 0."""
    one, two = _table(first), _table(second)
    _check_same((one, two))
    both = _mean_variance(one.means - two.means, one.pairs)
    return max(0.0, both - _residual_variance(one) - _residual_variance(two))


def image_shares(bits: Mapping[str, Mapping[int, Bits]]) -> dict[str, float]:
    """Return for each choice its share in the image variance of its differences from the others.

    The image variance of a difference is about the sum of the two shares: least squares over all
    pairs of choices, negative shares set to 0. So comparisons of many choices need one number each.
    """
    choices = list(bits)
    if len(choices) < 2:
        return dict.fromkeys(choices, 0.0)
    tables = [_table(bits[choice]) for choice in choices]
    _check_same(tables)
    means = np.stack([table.means for table in tables])
    residual = np.array([_residual_variance(table) for table in tables])
    covariance = _mean_covariance(means, tables[0].pairs)
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


def _table(bits: Mapping[int, Bits]) -> _Table:
    """Return the answers of one choice as numbers."""
    if not bits:
        raise ValueError("needs the answers of at least one model, but got none")
    answers = [bits[seed] for seed in sorted(bits)]
    rows = [one.right if isinstance(one, RightAnswers) else one for one in answers]
    sizes = {len(of_seed) for of_seed in rows}
    if len(sizes) > 1 or sizes == {0}:
        raise ValueError(f"got {sorted(sizes)} images; all models must answer the same ones, >= 1")
    pairs = [one.pairs if isinstance(one, RightAnswers) else None for one in answers]
    tables = [
        _Table(values=np.asarray(row, dtype=np.float64)[None], pairs=of)
        for row, of in zip(rows, pairs, strict=True)
    ]
    _check_same(tables)
    return _Table(values=np.concatenate([table.values for table in tables]), pairs=pairs[0])


def _check_same(tables: Sequence[_Table]) -> None:
    """Raise ``ValueError`` unless all have answered the same images, or the same pairs."""
    sizes = [table.values.shape[1] for table in tables]
    if len(set(sizes)) > 1:
        raise ValueError(f"got {sorted(set(sizes))} images; all must have the same ones")
    if len({table.pairs.tobytes() for table in tables if table.pairs is not None}) > 1:
        raise ValueError("got different pairs; all must have answered the same ones")


def _mean_variance(values: Array, pairs: npt.NDArray[np.int64] | None) -> float:
    """Return the variance of the mean of ``values`` over the images; 0 for a single one."""
    if values.size < 2:
        return 0.0
    if pairs is None:
        return float(values.var(ddof=1)) / values.size
    return float(_mean_covariance(values[None], pairs)[0, 0])


def _mean_covariance(rows: Array, pairs: npt.NDArray[np.int64] | None) -> Array:
    """Return the covariance ``[k, k]`` of the means of ``rows`` ``[k, images or pairs]``."""
    if pairs is None:
        return np.asarray(np.atleast_2d(np.cov(rows)) / rows.shape[1])
    errors = rows - rows.mean(axis=1, keepdims=True)
    images, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    by_image = _sums(errors, places[:, 0], len(images)) + _sums(errors, places[:, 1], len(images))
    # Two pairs of the same two images share both, and must not be counted twice.
    numbers = places.min(axis=1) * len(images) + places.max(axis=1)
    different, numbers = np.unique(numbers, return_inverse=True)
    by_pair = _sums(errors, numbers, len(different))
    shared = by_image @ by_image.T - by_pair @ by_pair.T
    return np.asarray(shared / rows.shape[1] ** 2 * len(images) / max(1, len(images) - 1))


def _sums(rows: Array, places: npt.NDArray[np.int64], count: int) -> Array:
    """Return the sums of each row's values by place, ``[k, count]``."""
    return np.stack([np.bincount(places, weights=row, minlength=count) for row in rows])


def _seeds_variance(table: _Table) -> float:
    return _mean_variance(table.values.mean(axis=1), None)


def _residual_variance(table: _Table) -> float:
    """Return the part of seeds and images together in the variance of the mean: both / (n * m)."""
    n, m = table.values.shape
    if n == 1 or m == 1:
        return 0.0
    values = table.values
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0, keepdims=True)
    residual += values.mean()
    if table.pairs is not None:
        parts = math.fsum(_mean_variance(row, table.pairs) for row in residual)
        return float(parts / ((n - 1) * n))
    return float(np.square(residual).sum() / ((n - 1) * (m - 1)) / (n * m))
