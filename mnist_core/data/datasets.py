"""Data sets by name, as uint8 tensors on the device.

    data = load(DataConfig())            # train and validation; never the test images
    test = load_test(DataConfig())       # for the one reading of the test set

Both are loaded once a process per configuration, files and device: the tensors are shared, so
whoever uses them must not change them in place.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_core.config import DataConfig
from mnist_core.data import download, idx, splits, storage
from mnist_core.data.registry import DataSet, by_name
from mnist_core.errors import DataError

if TYPE_CHECKING:  # torch takes seconds to import, and `data show` or `verify` need none
    import torch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their classes.

    Attributes:
        images: uint8 ``[N, rows, columns]`` on the device, 0 (ground) to 255 (ink).
        labels: int64 ``[N]`` on the device, in ``0 .. n_classes - 1``.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Data:
    """Everything that search and training may see of a data set.

    Attributes:
        name: as in ``data.name``.
        train: the images to learn from.
        validation: the images to choose by.
        n_classes: number of classes.
        sha256: file name (without ``.gz``) to hash of its raw content, the test files included.
        split_sha256: hash of the indices of both splits.
        fingerprint: 16 hexadecimal digits that change when anything of the above does.
    """

    name: str
    train: Split
    validation: Split
    n_classes: int
    sha256: Mapping[str, str]
    split_sha256: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class ValidationImages:
    """The validation images for those who show them.

    Attributes:
        images: uint8 ``[N, rows, columns]``, 0 (ground) to 255 (ink), in the split's order.
        labels: uint8 ``[N]``.
        fingerprint: as ``Data.fingerprint``.
    """

    images: idx.UInt8Array
    labels: idx.UInt8Array
    fingerprint: str


def load(config: DataConfig, device: torch.device | str = "cpu") -> Data:
    """Load the training images, split into train and validation; download them if need be.

    All four files are verified; the test files are hashed only. Later calls with the same
    arguments return the same object.

    Args:
        config: which data set, where, and the seed of the split.
        device: where the tensors go.

    Raises:
        DataError: the data set is unknown, missing and not to be had, or damaged.
    """
    folder = storage.folder_of(by_name(config.name), config.root)
    return _load(config.name, folder, config.split_seed, _place(device))


def load_test(config: DataConfig, device: torch.device | str = "cpu") -> Split:
    """Load the test images. Only the protocol's one reading of the test set may call this.

    Raises:
        DataError: as ``load``.
    """
    folder = storage.folder_of(by_name(config.name), config.root)
    return _load_test(config.name, folder, config.split_seed, _place(device))


def clear_cache() -> None:
    """Forget what was loaded, so that the next ``load`` reads the files again."""
    _load.cache_clear()
    _load_test.cache_clear()


def validation_images(config: DataConfig) -> ValidationImages:
    """Read the validation images without torch, and without a download.

    Raises:
        DataError: the data set is unknown, missing or damaged.
    """
    data_set = by_name(config.name)
    found = _arrays(data_set, storage.folder_of(data_set, config.root), config.split_seed)
    chosen = found.indices.validation
    return ValidationImages(
        images=found.images[chosen], labels=found.classes[chosen], fingerprint=found.fingerprint
    )


def training_images(config: DataConfig) -> idx.UInt8Array:
    """Read the images to learn from, uint8 ``[N, rows, columns]``, in the same way.

    Raises:
        DataError: as ``validation_images``.
    """
    data_set = by_name(config.name)
    found = _arrays(data_set, storage.folder_of(data_set, config.root), config.split_seed)
    return found.images[found.indices.train]


@functools.lru_cache(maxsize=8)
def _load(name: str, folder: Path, split_seed: int, device: str) -> Data:
    data_set = by_name(name)
    ensure(data_set, folder)
    found = _arrays(data_set, folder, split_seed)
    if storage.is_cache(data_set, folder) and not storage.recorded_sums(folder):
        with contextlib.suppress(DataError):  # a cache that is only read is as good
            storage.record_sums(folder, found.sha256)
    everything = _to_split(found.images, found.classes, device)
    return Data(
        name=name,
        train=_take(everything, found.indices.train),
        validation=_take(everything, found.indices.validation),
        n_classes=found.n_classes,
        sha256=found.sha256,
        split_sha256=found.indices.sha256(),
        fingerprint=found.fingerprint,
    )


@dataclass(frozen=True, eq=False)
class _Arrays:
    """All images that may be trained or validated on, and how they are split."""

    images: idx.UInt8Array
    classes: idx.UInt8Array
    n_classes: int
    sha256: Mapping[str, str]
    indices: splits.Indices
    fingerprint: str


def _arrays(data_set: DataSet, folder: Path, split_seed: int) -> _Arrays:
    images, labels = _read(data_set, folder, test=False)
    sha256 = {
        data_set.train_images.name: images.sha256(),
        data_set.train_labels.name: labels.sha256(),
        **test_hashes(data_set, folder),
    }
    classes = labels.labels(data_set.n_classes or 256)
    n_classes = data_set.n_classes or int(classes.max()) + 1
    if n_classes < 2:
        raise DataError(f"{idx.one_line(labels.path)}: expected two classes or more, but got one")
    indices = splits.stratified(classes, split_seed)
    return _Arrays(
        images=images.images(),
        classes=classes,
        n_classes=n_classes,
        sha256=sha256,
        indices=indices,
        fingerprint=_fingerprint(data_set.name, n_classes, sha256, indices.sha256()),
    )


@functools.lru_cache(maxsize=8)
def _load_test(name: str, folder: Path, split_seed: int, device: str) -> Split:
    data_set = by_name(name)
    train = _load(name, folder, split_seed, device)
    images, labels = _read(data_set, folder, test=True)
    side = tuple(train.train.images.shape[1:])
    if images.shape[1:] != side:
        raise DataError(
            f"{idx.one_line(images.path)}: byte 8: expected images of {side[0]}x{side[1]} as in"
            f" training, but got {images.shape[1]}x{images.shape[2]}"
        )
    return _to_split(images.images(), labels.labels(train.n_classes), device)


def ensure(data_set: DataSet, folder: Path) -> None:
    """Download what is missing, if ``folder`` is the data set's own in the cache.

    Raises:
        DataError: the download failed.
    """
    if storage.is_cache(data_set, folder) and storage.missing(data_set, folder):
        _log.warning("downloading %s into %s", data_set.name, folder)
        download.download(data_set, folder, replace=True)


def test_hashes(data_set: DataSet, folder: Path) -> dict[str, str]:
    """Return file name to raw hash of the test files without decoding them.

    A folder of unknown files may lack them: then they are left out.

    Raises:
        DataError: one is missing or damaged.
    """
    return {
        file.name: storage.read_verified(data_set, file, folder).sha256()
        for file in (data_set.test_images, data_set.test_labels)
        if data_set.n_classes or storage.find(file, folder)
    }


def _read(data_set: DataSet, folder: Path, *, test: bool) -> tuple[idx.Raw, idx.Raw]:
    pair = data_set.files[2:] if test else data_set.files[:2]
    images, labels = (storage.read_verified(data_set, file, folder) for file in pair)
    idx.check_pair(images, labels)
    if not images.shape[0]:
        raise DataError(f"{idx.one_line(images.path)}: byte 4: expected images, but got none")
    return images, labels


def _to_split(images: idx.UInt8Array, labels: idx.UInt8Array, device: str) -> Split:
    import torch

    return Split(
        torch.from_numpy(images).to(device),
        torch.from_numpy(labels).to(device, torch.int64),
    )


def _take(split: Split, indices: splits.IntArray) -> Split:
    import torch

    chosen = torch.from_numpy(indices).to(split.labels.device)
    return Split(split.images[chosen], split.labels[chosen])


def _place(device: torch.device | str) -> str:
    """Name the device in one way only, since it is part of the cache's key."""
    import torch

    place = torch.device(device)
    if place.type == "cuda" and place.index is None:
        place = torch.device("cuda", torch.cuda.current_device())
    return str(place)


def _fingerprint(name: str, n_classes: int, sha256: Mapping[str, str], split_sha256: str) -> str:
    parts = json.dumps([name, n_classes, sorted(sha256.items()), split_sha256])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
