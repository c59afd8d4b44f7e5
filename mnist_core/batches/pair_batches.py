"""Pairs of images, half of them of one class: sampled a whole epoch at once, on the device.

A pair of the same class is any ordered pair of two images of a class; a pair of different classes
is any ordered pair of such images; all are equally likely.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from mnist_core.batches.batches import Stream, stream_seed
from mnist_core.config import AugmentConfig
from mnist_core.data import Split
from mnist_core.errors import DataError

_WORDS = 3  # random words a pair: its place in the order, and its two images

_WORD_BITS = 62
"""Enough for a nearly uniform remainder of a division by a number of pairs (< 2**40)."""


class PairSampler:
    """Turns random words into pairs of images of one split."""

    def __init__(self, labels: Tensor) -> None:
        """Sort the images, whose labels are int64 ``[N]`` >= 0, by class."""
        counts = torch.bincount(labels)
        n, paired = len(labels), torch.where(counts > 1, counts, 0)
        if int(counts.max(dim=0).values if n else 0) < 2:
            raise DataError(
                f"pairs: a pair of the same class needs a class with two images, but each of the"
                f" {n} images is of another class"
            )
        if int((counts > 0).sum()) < 2:
            raise DataError(
                f"pairs: a pair of different classes needs two classes, but all {n} images are of"
                f" class {int(labels[0])}"
            )
        self._n = n
        self._n_paired = int(paired.sum())
        self._n_different = int((counts * (n - counts)).sum())
        self._by_class = labels.argsort(stable=True)
        self._counts = counts
        self._starts = counts.cumsum(0) - counts
        # Where each class ends when its images, or its different pairs, are counted through.
        self._paired_ends = paired.cumsum(0)
        self._different_ends = (counts * (n - counts)).cumsum(0)

    def draw(self, words: Tensor) -> Tensor:
        """Turn words into pairs, half of them (rounded down) of the same class.

        ``words`` are int64 ``[3, P]``, uniform in ``0 .. 2**62 - 1``, on the device of the labels.
        Returns int64 ``[P, 2]``: the indices of both images.
        """
        # Only integer arithmetic, so the pairs are the same on every device and for every batch
        # size.
        order, first, second = words
        n_same = words.shape[1] // 2
        places = torch.cat(
            [self._same(first[:n_same], second[:n_same]), self._different(first[n_same:])]
        )
        return self._by_class[places[order.argsort(stable=True)]]

    def _same(self, first: Tensor, second: Tensor) -> Tensor:
        """Return places among the images sorted by class, ``[P, 2]``."""
        number = first % self._n_paired
        label = torch.searchsorted(self._paired_ends, number, right=True)
        count = self._counts[label]
        within = number - (self._paired_ends[label] - count)
        # One to count - 1 images further on, around the class: any but the image itself.
        partner = (within + 1 + second % (count - 1)) % count
        return self._starts[label].unsqueeze(1) + torch.stack([within, partner], dim=1)

    def _different(self, words: Tensor) -> Tensor:
        """Return places among the images sorted by class, ``[P, 2]``."""
        number = words % self._n_different
        label = torch.searchsorted(self._different_ends, number, right=True)
        start, count = self._starts[label], self._counts[label]
        others = self._n - count
        number = number - (self._different_ends[label] - count * others)
        # The images of other classes are those after the class, around the whole.
        other = (start + count + number % others) % self._n
        return torch.stack([start + number // others, other], dim=1)


def evaluation_pairs(labels: Tensor, count: int, split_seed: int) -> Tensor:
    """Return the fixed pairs by which models are judged on a split.

    ``labels`` are int64 ``[N]``. Returns int64 ``[count, 2]`` on their device: the indices of both
    images.

    Raises:
        DataError: as ``PairSampler``.
    """
    # They depend on the arguments only, with every version and on every device: the words are raw
    # PCG64 output, whose stream numpy promises never to change (NEP 19).
    digest = hashlib.sha256(labels.cpu().numpy().astype("<i8").tobytes()).hexdigest()
    stream = np.random.PCG64(stream_seed(split_seed, f"evaluation pairs {digest}"))
    raw = stream.random_raw(_WORDS * count) >> np.uint64(64 - _WORD_BITS)
    words = torch.from_numpy(raw.astype(np.int64).reshape(_WORDS, count))
    return PairSampler(labels).draw(words.to(labels.device))


class PairBatches(Stream):
    """Batches of pairs, fresh ones each epoch; both images of a pair are augmented apart."""

    ORDER = "pairs"

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        per_epoch: int,
        seed: int,
        augmentation: AugmentConfig,
        dtype: torch.dtype,
    ) -> None:
        """Sort the images for ``per_epoch`` pairs an epoch; raise as ``PairSampler``."""
        super().__init__(split, batch_size, seed=seed, augmentation=augmentation, dtype=dtype)
        self._per_epoch = per_epoch
        self._sampler = PairSampler(split.labels)

    @property
    def size(self) -> int:
        """Number of pairs."""
        return self._per_epoch

    def draw(self) -> Tensor:
        """Draw the next epoch's pairs ``[P, 2]``."""
        words = torch.randint(2**_WORD_BITS, (_WORDS, self._per_epoch), generator=self._order)
        return self._sampler.draw(words.to(self._split.labels.device))

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return images ``[B, 2, (3,) rows, columns]`` and their classes ``[B, 2]``."""
        images = self._images(chosen.flatten()).squeeze(1)
        return images.view(len(chosen), 2, *images.shape[1:]), self._split.labels[chosen]
