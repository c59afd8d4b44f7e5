"""Batches straight from device tensors: no loader, no workers, no image library."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mnist_core.batches.augment import augment, prepare
from mnist_core.config import AugmentConfig
from mnist_core.data import Split
from mnist_core.images import MNIST, Images

READY_BYTES = 2**28
"""Training images that take more as float32 stay uint8: each batch is normalised by itself."""

NORM_IMAGES, NORM_BATCH = 5000, 500
"""Training images from which a BatchNorm's statistics are computed again; most of a batch."""


def normalise(images: Tensor, dtype: torch.dtype, about: Images = MNIST) -> Tensor:
    """Turn uint8 images into ``dtype`` ``[N, channels, rows, columns]``, channels-last.

    ``images`` are ``[N, rows, columns]``, or ``[N, rows, columns, 3]`` in colour. The values are
    those of torchvision's ``ToTensor`` and ``Normalize``.
    """
    # Convolutions are fast with channels-last.
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    scaled = images.to(wide, copy=True).div_(255)
    if about.colour:
        mean, std = _per_channel(about, wide, images.device)
        return scaled.sub_(mean).div_(std).to(dtype).permute(0, 3, 1, 2)
    scaled = scaled.sub_(about.mean[0]).div_(about.std[0])
    return scaled.to(dtype).unsqueeze(-1).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=8)  # a copy to a GPU at every batch would wait for it
def _per_channel(about: Images, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(of, dtype=dtype, device=device) for of in (about.mean, about.std))
    return mean, std


def class_weights(labels: Tensor) -> Tensor:
    """Return a weight for each class, inverse to its number of images; their mean over images is 1.

    ``labels`` are int64 ``[N]``; a class without an image has the weight 0.
    """
    counts = torch.bincount(labels).double()
    there = counts > 0
    weights = len(labels) / (there.sum() * counts.clamp_min(1))
    return torch.where(there, weights, 0.0)


def stream_seed(seed: int, stream: str) -> int:
    """Return the seed of one of the independent random streams of a training, below 2**63."""
    words = np.random.SeedSequence([seed, *stream.encode()]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def norm_images(images: Tensor, seed: int) -> Tensor:
    """Draw at most ``NORM_IMAGES`` of uint8 images ``[N, …]``: the same at each call."""
    # For the statistics of averaged weights. Not the first ones: files may be sorted by class, and
    # a batch of one class has no variance between classes.
    stream = torch.Generator().manual_seed(stream_seed(seed, "norms"))
    order = torch.randperm(len(images), generator=stream)[:NORM_IMAGES]
    return images.index_select(0, order.to(images.device))


def norm_batches(inputs: Tensor, images: int) -> tuple[Tensor, ...]:
    """Split ``inputs``, pairs or the ``images`` themselves, into batches that are nearly equal."""
    # Each counts the same for the statistics, so none may be of a few images that are left over.
    return torch.tensor_split(inputs, -(-images // NORM_BATCH))


class Stream(ABC):
    """The batches of a training, epoch by epoch, in an order that only the seed decides."""

    ORDER: ClassVar[str]  # name of the random stream of the order

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int,
        augmentation: AugmentConfig,
        dtype: torch.dtype,
    ) -> None:
        """Take the images, which are on the device, and the type of the batches' images."""
        self._split = split
        self._batch_size = batch_size
        self._dtype = dtype
        # The order is drawn on the CPU, so it is the same on every device.
        self._order = torch.Generator().manual_seed(stream_seed(seed, self.ORDER))
        device = split.images.device
        self._changes = torch.Generator(device).manual_seed(stream_seed(seed, "augment"))
        self.change(augmentation)

    def change(self, augmentation: AugmentConfig) -> None:
        """Augment in another way from now on."""
        self._augmentation = augmentation
        images = self._split.images
        self._held = prepare(augmentation, (images.shape[1], images.shape[2]), images.device)
        self._ready = None
        if not augmentation.active and 4 * self._split.images.numel() <= READY_BYTES:
            # Once for the whole training, so nothing else is left to do in a step. Gathering rows
            # of [N, rows, columns, channels] keeps the channels-last layout.
            ready = normalise(self._split.images, self._dtype, self._split.about)
            self._ready = ready.permute(0, 2, 3, 1)

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of images or pairs of an epoch."""

    @abstractmethod
    def draw(self) -> Tensor:
        """Draw the next epoch's images ``[N]`` or pairs ``[N, 2]``: indices, on the device."""

    @abstractmethod
    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs and the targets of drawn images or pairs, augmented."""

    def parts(self) -> tuple[Tensor, ...]:
        """Draw the next epoch and return what each of its batches takes."""
        return torch.split(self.draw(), self._batch_size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next epoch's batches; the last one has what is left."""
        for chosen in self.parts():
            yield self.batch(chosen)

    @property
    def changes(self) -> torch.Generator:
        """The random stream of the augmentation, on the device."""
        return self._changes

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-self.size // self._batch_size)

    def state(self) -> dict[str, Tensor]:
        """Return the states of the random streams, as they are between two epochs."""
        return {self.ORDER: self._order.get_state(), "augment": self._changes.get_state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from a ``state``."""
        self._order.set_state(state[self.ORDER])
        self._changes.set_state(state["augment"])

    def _images(self, chosen: Tensor) -> Tensor:
        """Return normalised images ``[N, channels, rows, columns]``."""
        if self._ready is not None:
            return self._ready.index_select(0, chosen).permute(0, 3, 1, 2)
        raw, about = self._split.images.index_select(0, chosen), self._split.about
        if not self._augmentation.active:
            return normalise(raw, self._dtype, about)
        if about.colour:
            planes = raw.permute(0, 3, 1, 2).to(torch.float32)
            changed = augment(planes, self._augmentation, self._changes).permute(0, 2, 3, 1)
            return normalise(changed, self._dtype, about)
        changed = augment(raw.unsqueeze(1).to(torch.float32), self._augmentation, self._changes)
        return normalise(changed.squeeze(1), self._dtype, about)


class Batches(Stream):
    """Batches of images."""

    ORDER = "order"

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int,
        augmentation: AugmentConfig,
        dtype: torch.dtype,
        balanced: bool = False,
    ) -> None:
        """Take the images; if ``balanced``, each class is drawn equally often, with repetition."""
        super().__init__(split, batch_size, seed=seed, augmentation=augmentation, dtype=dtype)
        labels = split.labels.cpu()
        self._chances = class_weights(labels)[labels] if balanced else None

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self._split)

    def draw(self) -> Tensor:
        """Draw the next epoch's images ``[N]``."""
        if self._chances is None:
            order = torch.randperm(self.size, generator=self._order)
        else:
            order = torch.multinomial(
                self._chances, self.size, replacement=True, generator=self._order
            )
        return order.to(self._split.labels.device)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return images ``[B, C, rows, columns]`` and labels ``[B]``."""
        return self._images(chosen), self._split.labels.index_select(0, chosen)
