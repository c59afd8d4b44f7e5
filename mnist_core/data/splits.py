"""The seeded, stratified split of the training images into train, validation and confirm."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from mnist_core.errors import DataError

IntArray = npt.NDArray[np.int64]

MANY_VALIDATION_IMAGES: Final = 4_000
"""From this many on, half of the validation images judge confirmed models and nothing else."""


class TooFewImages(DataError):
    """There are too few images to be split."""


@dataclass(frozen=True, eq=False)
class Indices:
    """Which images train, validate and confirm; disjoint, and together all of them."""

    train: IntArray  # int64 ``[n - n_validation]``, ascending
    validation: IntArray  # int64 ``[n_validation]``, ascending
    # int64, ascending; empty unless the validation images were halved
    confirm: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def sha256(self) -> str:
        """Return a hash of all parts, in hexadecimal."""
        digest = hashlib.sha256()
        # Without confirm images the hash stays the one that older studies have recorded.
        parts = (self.train, self.validation, *([self.confirm] if len(self.confirm) else []))
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()


def validation_size(n: int) -> int:
    """Return a sixth of ``n``, rounded, e.g. 1,000 of 6,000; raise ``TooFewImages`` if n < 3."""
    if n < 3:
        raise TooFewImages(f"a training set needs at least 3 images to be split, but got {n}")
    return (n + 3) // 6


def stratified(labels: npt.NDArray[np.integer], seed: int) -> Indices:
    """Split so that each class has its part of the validation images, to within one image.

    Labels are ``[n]``, >= 0; a seed is >= 0, of any size.

    Raises:
        TooFewImages: if there are fewer than 3 images.
    """
    # The same on every platform and numpy version: raw PCG64 output, whose stream numpy promises
    # never to change (NEP 19), and integer arithmetic. Shares are rounded by largest remainder
    # (ties to the lower class), so the sizes are exact.
    n = len(labels)
    validates = _drawn(labels, validation_size(n), np.random.PCG64(seed).random_raw(n))
    return Indices(np.flatnonzero(~validates), np.flatnonzero(validates))


def without_test(labels: npt.NDArray[np.integer], seed: int) -> tuple[IntArray, IntArray]:
    """Return which images stay to learn from, and the sixth that is kept apart to test on.

    Raises:
        TooFewImages: if there are fewer than 3 images.
    """
    n = len(labels)
    keys = np.random.PCG64([seed, 2]).random_raw(n)  # another stream than those of other splits
    tests = _drawn(labels, validation_size(n), keys)
    return np.flatnonzero(~tests), np.flatnonzero(tests)


def halved(indices: Indices, labels: npt.NDArray[np.integer], seed: int) -> Indices:
    """Return ``indices`` with half of the validation images, rounded down, in ``confirm`` instead.

    Both halves have the same share of each class, to within one image.

    Raises:
        DataError: if there is one validation image only.
    """
    validation = indices.validation
    n = len(validation)
    if n < 2:
        raise DataError('data.confirm: one validation image cannot be halved; use "none"')
    keys = np.random.PCG64([seed, 1]).random_raw(n)  # another stream than that of the first split
    confirms = _drawn(labels[validation], n // 2, keys)
    return Indices(indices.train, validation[~confirms], validation[confirms])


def _drawn(
    labels: npt.NDArray[np.integer], total: int, keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """Draw ``total`` images, each class its share, those with the smallest keys."""
    drawn = np.zeros(len(labels), dtype=bool)
    for label, quota in enumerate(_largest_remainder(np.bincount(labels), total)):
        members = np.flatnonzero(labels == label)
        order = np.argsort(keys[members], kind="stable")
        drawn[members[order[:quota]]] = True
    return drawn


def _largest_remainder(counts: IntArray, total: int) -> IntArray:
    """Share ``total`` among classes in proportion to ``counts``, int64 ``[n_classes]``."""
    shares = counts * total
    n = int(counts.sum())
    quotas = shares // n
    by_remainder = np.argsort(-(shares % n), kind="stable")
    quotas[by_remainder[: total - int(quotas.sum())]] += 1
    return quotas
