"""Data sets by name, as uint8 tensors on the device, loaded once a process: they are shared."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_core.config import DataConfig
from mnist_core.data import download, idx, image_arrays, splits, storage, suitability
from mnist_core.data.registry import DataSet
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


def load(config: DataConfig, device: torch.device | str = "cpu") -> Data:
    """Load the training images, split into train and validation; download them if need be.

    The test files are only hashed, and what makes them useless is noted in ``test_problem``. Later
    calls with the same arguments return the same object.

    Raises:
        DataError: if the data set is unknown, damaged, or missing and cannot be downloaded.
    """
    return _load(image_arrays.Source.of(config), _place(device))


def load_test(config: DataConfig, device: torch.device | str = "cpu") -> Split:
    """Load the test images, for the one reading of the test set; raise DataError as ``load``."""
    if not config.test_set:
        raise DataError(suitability.NO_TEST_SET)
    return _load_test(image_arrays.Source.of(config), _place(device))


def load_confirm(config: DataConfig, device: torch.device | str = "cpu") -> Split | None:
    """Load the images that judge confirmed models, and nothing else; None: there are none.

    Raises:
        DataError: as ``load``, or the data set's own confirm images do not fit to the training.
    """
    return _load_confirm(image_arrays.Source.of(config), _place(device))


def clear_cache() -> None:
    """Forget what was loaded, so that the next ``load`` reads the files again."""
    for loader in (_load, _load_test, _load_confirm):
        loader.cache_clear()


@functools.lru_cache(maxsize=8)
def _load(source: image_arrays.Source, device: str) -> Data:
    data_set, folder = source.data_set, source.folder
    ensure(data_set, folder)
    found = image_arrays.read(source)
    whole = len(found.sha256) == len(data_set.files)
    if whole and storage.is_cache(data_set, folder) and not storage.recorded_sums(folder):
        with contextlib.suppress(DataError):  # a cache that is only read is as good
            storage.record_sums(folder, found.sha256)
    everything = _to_split(found.images, found.classes, device)
    return Data(
        name=source.name,
        train=_take(everything, found.indices.train),
        validation=_take(everything, found.indices.validation),
        n_classes=found.n_classes,
        sha256=found.sha256,
        split_sha256=found.indices.sha256(),
        fingerprint=found.fingerprint,
        train_fingerprint=found.train_fingerprint,
        test_problem=found.test_problem,
    )


@functools.lru_cache(maxsize=8)
def _load_test(source: image_arrays.Source, device: str) -> Split:
    train = _load(source, device)
    if train.test_problem:
        raise DataError(train.test_problem)
    files = source.data_set.files[2:]
    images, labels = image_arrays.read_pair(source.data_set, files, source.folder)
    return _to_split(images.images(), labels.labels(train.n_classes), device)


@functools.lru_cache(maxsize=8)
def _load_confirm(source: image_arrays.Source, device: str) -> Split | None:
    ensure(source.data_set, source.folder)
    found = image_arrays.confirm_images(source)
    return None if found is None else _to_split(found.images, found.labels, device)


def ensure(data_set: DataSet, folder: Path) -> None:
    """Download what is missing, if ``folder`` is in the cache; raise DataError if that failed."""
    if storage.is_cache(data_set, folder) and storage.missing(data_set, folder):
        _log.warning("downloading %s into %s", data_set.name, folder)
        download.download(data_set, folder, replace=True)


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
