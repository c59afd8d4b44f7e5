"""Pairs of images, half of them of one class: sampled a whole epoch at once, on the device.

Of a pair of the same class the first image is any image (of a class that has two or more), the
second any other image of its class, all equally likely; a pair of different classes is any ordered
pair of such images, all equally likely. So every image occurs as often as any other of its class,
an image is never paired with itself, and (a, b) is as likely as (b, a). The two kinds are mixed in
random order. The same pair may be drawn twice.

The random words come from the CPU and all that follows is integer arithmetic: the pairs are the
same on every device, whatever the size of the batches.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mnist_core.batches.augment import augment
from mnist_core.batches.batches import normalise, stream_seed
from mnist_core.config import AugmentConfig
from mnist_core.data import Split
from mnist_core.errors import DataError

_WORDS = 3
"""Random words a pair: its place in the order, and its two images."""

_WORD_BITS = 62
"""So many that the remainder of a division by a number of pairs (< 2**40) is all but uniform."""


class PairSampler:
    """Turns random words into pairs of images of one split."""

    def __init__(self, labels: Tensor) -> None:
        """Sort the images by class.

        Args:
            labels: int64 ``[N]``, on the device where the pairs are wanted, >= 0.

        Raises:
            DataError: no class has two images, or there is only one class.
        """
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

        Args:
            words: int64 ``[3, P]``, uniform in ``0 .. 2**62 - 1``; on the device of the labels.

        Returns:
            int64 ``[P, 2]``: the indices of both images.
        """
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

    They depend on nothing but the arguments. Other labels have other random words, so validation
    and test have streams of their own. The words are raw PCG64 output, whose stream numpy promises
    never to change (NEP 19): the pairs are the same with every version and on every device.

    Args:
        labels: int64 ``[N]``, the classes of the split's images.
        count: how many pairs.
        split_seed: ``data.split_seed``.

    Returns:
        int64 ``[count, 2]`` on the device of ``labels``: the indices of both images.

    Raises:
        DataError: as ``PairSampler``.
    """
    digest = hashlib.sha256(labels.cpu().numpy().astype("<i8").tobytes()).hexdigest()
    stream = np.random.PCG64(stream_seed(split_seed, f"evaluation pairs {digest}"))
    raw = stream.random_raw(_WORDS * count) >> np.uint64(64 - _WORD_BITS)
    words = torch.from_numpy(raw.astype(np.int64).reshape(_WORDS, count))
    return PairSampler(labels).draw(words.to(labels.device))


class PairBatches:
    """The batches of a training: fresh pairs each epoch, which only the seed decides."""

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
        """Prepare the stream.

        Args:
            split: images and labels, on the device.
            batch_size: pairs a batch; the last batch of an epoch has what is left.
            per_epoch: pairs an epoch.
            seed: the training's seed.
            augmentation: random changes of the images, fresh at each use, both of a pair apart.
            dtype: type of the batches' images.

        Raises:
            DataError: as ``PairSampler``.
        """
        self._split = split
        self._batch_size = batch_size
        self._per_epoch = per_epoch
        self._dtype = dtype
        self._sampler = PairSampler(split.labels)
        self._words = torch.Generator().manual_seed(stream_seed(seed, "pairs"))
        device = split.images.device
        self._changes = torch.Generator(device).manual_seed(stream_seed(seed, "augment"))
        self.change(augmentation)

    def change(self, augmentation: AugmentConfig) -> None:
        """Change the images in another way from now on."""
        self._augmentation = augmentation
        self._ready = None
        if not augmentation.active:
            self._ready = normalise(self._split.images, self._dtype).squeeze(1)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-self._per_epoch // self._batch_size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next epoch's batches: ``[B, 2, rows, columns]``, their classes ``[B, 2]``."""
        labels = self._split.labels
        pairs = self._draw()
        classes = labels[pairs]
        for start in range(0, self._per_epoch, self._batch_size):
            part = slice(start, start + self._batch_size)
            yield self._images(pairs[part]), classes[part]

    def state(self) -> dict[str, Tensor]:
        """Return the states of the random streams, as they are between two epochs."""
        return {"pairs": self._words.get_state(), "augment": self._changes.get_state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a ``state``."""
        self._words.set_state(state["pairs"])
        self._changes.set_state(state["augment"])

    def _draw(self) -> Tensor:
        """Return an epoch's pairs, int64 ``[P, 2]``."""
        shape = (_WORDS, self._per_epoch)
        words = torch.randint(2**_WORD_BITS, shape, generator=self._words)
        return self._sampler.draw(words.to(self._split.labels.device))

    def _images(self, pairs: Tensor) -> Tensor:
        images = self._gather(pairs.flatten())
        return images.view(len(pairs), 2, *images.shape[1:])

    def _gather(self, chosen: Tensor) -> Tensor:
        """Return normalised images ``[N, rows, columns]``."""
        if self._ready is not None:
            return self._ready.index_select(0, chosen)
        raw = self._split.images.index_select(0, chosen).unsqueeze(1).to(torch.float32)
        changed = augment(raw, self._augmentation, self._changes)
        return normalise(changed.squeeze(1), self._dtype).squeeze(1)
