"""The seeded, stratified split of the training images into train and validation."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnist_core.errors import DataError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Indices:
    """Which images train and which validate; disjoint, and together all of them."""

    train: IntArray  # int64 ``[n - n_validation]``, ascending
    validation: IntArray  # int64 ``[n_validation]``, ascending

    def sha256(self) -> str:
        """Return a hash of both parts, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()


def validation_size(n: int) -> int:
    """Return a sixth of ``n``, rounded, e.g. 1,000 of 6,000; raise ``DataError`` if n < 3."""
    if n < 3:
        raise DataError(f"a training set needs at least 3 images to be split, but got {n}")
    return (n + 3) // 6


def stratified(labels: npt.NDArray[np.integer], seed: int) -> Indices:
    """Split so that each class has its part of the validation images, to within one image.

    Labels are ``[n]``, >= 0; a seed is >= 0, of any size.

    Raises:
        DataError: if there are fewer than 3 images.
    """
    # The same on every platform and numpy version: raw PCG64 output, whose stream numpy promises
    # never to change (NEP 19), and integer arithmetic. Shares are rounded by largest remainder
    # (ties to the lower class), so the sizes are exact.
    n = len(labels)
    quotas = _largest_remainder(np.bincount(labels), validation_size(n))
    keys = np.random.PCG64(seed).random_raw(n)
    validates = np.zeros(n, dtype=bool)
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(labels == label)
        order = np.argsort(keys[members], kind="stable")
        validates[members[order[:quota]]] = True
    return Indices(np.flatnonzero(~validates), np.flatnonzero(validates))


def _largest_remainder(counts: IntArray, total: int) -> IntArray:
    """Share ``total`` among classes in proportion to ``counts``, int64 ``[n_classes]``."""
    shares = counts * total
    n = int(counts.sum())
    quotas = shares // n
    by_remainder = np.argsort(-(shares % n), kind="stable")
    quotas[by_remainder[: total - int(quotas.sum())]] += 1
    return quotas
