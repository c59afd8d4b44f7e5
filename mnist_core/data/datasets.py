"""Data sets by name, as uint8 tensors on the device, loaded once a process: they are shared."""

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
from mnist_core.data import download, idx, splits, storage, suitability
from mnist_core.data.registry import DataSet, by_name
from mnist_core.errors import DataError

if TYPE_CHECKING:  # torch takes seconds to import, and `data show` or `verify` need none
    import torch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their classes."""

    images: torch.Tensor  # uint8 ``[N, rows, columns]`` on the device, 0 (ground) to 255 (ink)
    labels: torch.Tensor  # int64 ``[N]`` on the device, in ``0 .. n_classes - 1``.

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Data:
    """Everything that search and training may see of a data set."""

    name: str
    train: Split
    validation: Split
    n_classes: int
    # file name (without ``.gz``) to hash of its raw content, the test files included
    sha256: Mapping[str, str]
    split_sha256: str
    fingerprint: str  # 16 hexadecimal digits that change when anything of the above does
    train_fingerprint: str = ""  # the same without the test files
    test_problem: str = ""  # why the test images cannot be read, one line; empty: they can

    def is_of(self, fingerprint: str) -> bool:
        """Return whether the images to train and validate on are those that had ``fingerprint``."""
        # Where it was taken without test files, test files that came later do not matter.
        return fingerprint in (self.fingerprint, self.train_fingerprint)


@dataclass(frozen=True, eq=False)
class ValidationImages:
    """The validation images as arrays, to be shown."""

    # uint8 ``[N, rows, columns]``, 0 (ground) to 255 (ink), in the split's order
    images: idx.UInt8Array
    labels: idx.UInt8Array  # uint8 ``[N]``
    fingerprint: str  # as ``Data.fingerprint``
    train_fingerprint: str = ""  # as ``Data.train_fingerprint``

    def is_of(self, fingerprint: str) -> bool:
        """As ``Data.is_of``."""
        return fingerprint in (self.fingerprint, self.train_fingerprint)


def load(config: DataConfig, device: torch.device | str = "cpu") -> Data:
    """Load the training images, split into train and validation; download them if need be.

    The test files are only hashed, and what makes them useless is noted in ``test_problem``. Later
    calls with the same arguments return the same object.

    Raises:
        DataError: if the data set is unknown, damaged, or missing and cannot be downloaded.
    """
    folder = storage.folder_of(by_name(config.name), config.root)
    return _load(config.name, folder, config.split_seed, config.test_set, _place(device))


def load_test(config: DataConfig, device: torch.device | str = "cpu") -> Split:
    """Load the test images, for the one reading of the test set; raise DataError as ``load``."""
    folder = storage.folder_of(by_name(config.name), config.root)
    if not config.test_set:
        raise DataError(suitability.NO_TEST_SET)
    return _load_test(config.name, folder, config.split_seed, _place(device))


def clear_cache() -> None:
    """Forget what was loaded, so that the next ``load`` reads the files again."""
    _load.cache_clear()
    _load_test.cache_clear()


def validation_images(config: DataConfig) -> ValidationImages:
    """Read the validation images without torch or a download; raise DataError if it cannot."""
    data_set = by_name(config.name)
    folder = storage.folder_of(data_set, config.root)
    found = _arrays(data_set, folder, config.split_seed, test_set=config.test_set)
    chosen = found.indices.validation
    return ValidationImages(
        images=found.images[chosen],
        labels=found.classes[chosen],
        fingerprint=found.fingerprint,
        train_fingerprint=found.train_fingerprint,
    )


def training_images(config: DataConfig) -> idx.UInt8Array:
    """Read the images to learn from, uint8 ``[N, rows, columns]``, as ``validation_images``."""
    data_set = by_name(config.name)
    folder = storage.folder_of(data_set, config.root)
    found = _arrays(data_set, folder, config.split_seed, test_set=config.test_set)
    return found.images[found.indices.train]


def test_images_sha256(config: DataConfig) -> str:
    """Return the hash of the raw file of test images; empty: it is not known, and not here."""
    data_set = by_name(config.name)
    if data_set.test_images.sha256:
        return data_set.test_images.sha256
    try:
        folder = storage.folder_of(data_set, config.root)
        return storage.read_verified(data_set, data_set.test_images, folder).sha256()
    except DataError:
        return ""


@functools.lru_cache(maxsize=8)
def _load(name: str, folder: Path, split_seed: int, test_set: bool, device: str) -> Data:
    data_set = by_name(name)
    ensure(data_set, folder)
    found = _arrays(data_set, folder, split_seed, test_set=test_set)
    whole = len(found.sha256) == len(data_set.files)
    if whole and storage.is_cache(data_set, folder) and not storage.recorded_sums(folder):
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
        train_fingerprint=found.train_fingerprint,
        test_problem=found.test_problem,
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
    train_fingerprint: str
    test_problem: str


def _arrays(data_set: DataSet, folder: Path, split_seed: int, *, test_set: bool) -> _Arrays:
    images, labels = _read(data_set, folder, test=False)
    train_sha256 = {
        data_set.train_images.name: images.sha256(),
        data_set.train_labels.name: labels.sha256(),
    }
    classes = labels.labels(data_set.n_classes or 256)
    n_classes = suitability.count_classes(data_set, labels.path, classes)
    test_sha256: dict[str, str] = {}
    problem = suitability.NO_TEST_SET
    if test_set:
        test_sha256, problem = suitability.look_at_test(
            data_set, folder, images, classes, n_classes
        )
    sha256 = train_sha256 | test_sha256
    indices = splits.stratified(classes, split_seed)
    name, split = data_set.name, indices.sha256()
    return _Arrays(
        images=images.images(),
        classes=classes,
        n_classes=n_classes,
        sha256=sha256,
        indices=indices,
        fingerprint=_fingerprint(name, n_classes, sha256, split),
        train_fingerprint=_fingerprint(name, n_classes, train_sha256, split),
        test_problem=problem,
    )


@functools.lru_cache(maxsize=8)
def _load_test(name: str, folder: Path, split_seed: int, device: str) -> Split:
    data_set = by_name(name)
    train = _load(name, folder, split_seed, True, device)
    if train.test_problem:
        raise DataError(train.test_problem)
    images, labels = _read(data_set, folder, test=True)
    return _to_split(images.images(), labels.labels(train.n_classes), device)


def ensure(data_set: DataSet, folder: Path) -> None:
    """Download what is missing, if ``folder`` is in the cache; raise DataError if that failed."""
    if storage.is_cache(data_set, folder) and storage.missing(data_set, folder):
        _log.warning("downloading %s into %s", data_set.name, folder)
        download.download(data_set, folder, replace=True)


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
