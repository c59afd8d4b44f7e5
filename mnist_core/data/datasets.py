"""Data sets by name, as uint8 tensors on the device, loaded once a process: they are shared."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnist_core.config import DataConfig
from mnist_core.data import download, idx, image_arrays, own_images, splits, storage, suitability
from mnist_core.data.own_images import OwnSource
from mnist_core.data.readers.parts import TEST, TRAIN, VALIDATION, Labelled, Progress
from mnist_core.data.registry import DataSet
from mnist_core.errors import DataError
from mnist_core.images import MNIST, Images

if TYPE_CHECKING:  # torch takes seconds to import, and `data show` or `verify` need none
    import torch

CONFIRM = "confirm"
"""The part of own images that judges confirmed models."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their classes."""

    # uint8 on the device: grey ``[N, rows, columns]``, 0 (ground) to 255 (ink), or colour
    # ``[N, rows, columns, 3]``
    images: torch.Tensor
    labels: torch.Tensor  # int64 ``[N]`` on the device, in ``0 .. n_classes - 1``.
    about: Images = MNIST

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
    about: Images = MNIST

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
    source = OwnSource.of(config)
    if source is not None:
        return _load_own(source, _place(device))
    return _load(image_arrays.Source.of(config), _place(device))


def load_test(config: DataConfig, device: torch.device | str = "cpu") -> Split:
    """Load the test images, for the one reading of the test set; raise DataError as ``load``."""
    if not config.test_set:
        raise DataError(suitability.NO_TEST_SET)
    source = OwnSource.of(config)
    if source is not None:
        return _own_part(source, TEST, _place(device))
    return _load_test(image_arrays.Source.of(config), _place(device))


def load_confirm(config: DataConfig, device: torch.device | str = "cpu") -> Split | None:
    """Load the images that judge confirmed models, and nothing else; None: there are none.

    Raises:
        DataError: as ``load``, or the data set's own confirm images do not fit to the training.
    """
    source = OwnSource.of(config)
    if source is not None:
        return _own_part(source, CONFIRM, _place(device)) if source.confirm == "half" else None
    return _load_confirm(image_arrays.Source.of(config), _place(device))


def clear_cache() -> None:
    """Forget what was loaded, so that the next ``load`` reads the files again."""
    for loader in (_load, _load_test, _load_confirm, _load_own, _own_part, _opened):
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
    about = _described(found.images, found.indices.train)
    everything = _to_split(found.images, found.classes, device, about)
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
        about=about,
    )


@functools.lru_cache(maxsize=8)
def _load_test(source: image_arrays.Source, device: str) -> Split:
    train = _load(source, device)
    if train.test_problem:
        raise DataError(train.test_problem)
    files = source.data_set.files[2:]
    images, labels = image_arrays.read_pair(source.data_set, files, source.folder)
    return _to_split(images.images(), labels.labels(train.n_classes), device, train.about)


@functools.lru_cache(maxsize=8)
def _load_confirm(source: image_arrays.Source, device: str) -> Split | None:
    ensure(source.data_set, source.folder)
    found = image_arrays.confirm_images(source)
    if found is None:
        return None
    return _to_split(found.images, found.labels, device, _load(source, device).about)


@functools.lru_cache(maxsize=8)
def _load_own(source: OwnSource, device: str) -> Data:
    found = _opened(source)
    return Data(
        name=source.title,
        train=_own_split(found.images(TRAIN), found.about, device),
        validation=_own_split(found.images(VALIDATION), found.about, device),
        n_classes=found.found.n_classes,
        sha256=found.sha256,
        split_sha256=found.split_sha256,
        fingerprint=found.fingerprint,
        train_fingerprint=found.train_fingerprint,
        test_problem=found.test_problem,
        about=found.about,
    )


@functools.lru_cache(maxsize=8)
def _own_part(source: OwnSource, which: str, device: str) -> Split:
    found = _opened(source)
    return _own_split(found.images(which), found.about, device)


def _own_split(found: Labelled, about: Images, device: str) -> Split:
    import torch

    # What is mapped from the disk cannot be written, which torch warns of.
    images = np.require(found.images, requirements=["C", "W"])
    return Split(
        torch.from_numpy(images).to(device), torch.from_numpy(found.labels).to(device), about
    )


@functools.lru_cache(maxsize=1)
def _opened(source: OwnSource) -> own_images.OwnImages:
    # The names, sizes and times of 60,000 pictures take half a second each time.
    return own_images.read(source)


@dataclass(frozen=True)
class Prepared:
    """What is known of images that ``load`` will find."""

    validation: int = 0  # number of validation images; 0: it is not known
    notes: tuple[str, ...] = ()  # what a user may not expect of own images, a line each


def prepare(config: DataConfig, progress: Progress | None = None) -> Prepared:
    """Download or decode what ``load`` needs, once, where it can be watched.

    Raises:
        DataError: if the images are missing, damaged, or cannot be downloaded.
    """
    source = OwnSource.of(config, progress)
    if source is not None:
        _opened.cache_clear()  # files may have changed since this process read them
        found = _opened(source)
        return Prepared(len(found.indices.validation), found.notes)
    known = image_arrays.Source.of(config)
    ensure(known.data_set, known.folder)
    return Prepared()


def ensure(data_set: DataSet, folder: Path) -> None:
    """Download what is missing, if ``folder`` is in the cache; raise DataError if that failed."""
    if storage.is_cache(data_set, folder) and storage.missing(data_set, folder):
        _log.warning("downloading %s into %s", data_set.name, folder)
        download.download(data_set, folder, replace=True)


def _to_split(
    images: idx.UInt8Array, labels: npt.NDArray[np.integer], device: str, about: Images
) -> Split:
    import torch

    return Split(
        torch.from_numpy(images).to(device),
        torch.from_numpy(labels).to(device, torch.int64),
        about,
    )


def _described(images: idx.UInt8Array, train: splits.IntArray) -> Images:
    """Return what grey images of IDX files are; all of MNIST's size are normalised as MNIST."""
    if images.shape[1:] == (MNIST.rows, MNIST.columns):
        return MNIST
    found = own_images.measured(images, train)
    mean, std = tuple(found["mean"]), tuple(found["std"])
    return Images(rows=images.shape[1], columns=images.shape[2], mean=mean, std=std)


def _take(split: Split, indices: splits.IntArray) -> Split:
    import torch

    chosen = torch.from_numpy(indices).to(split.labels.device)
    return Split(split.images[chosen], split.labels[chosen], split.about)


def _place(device: torch.device | str) -> str:
    """Name the device in one way only, since it is part of the cache's key."""
    import torch

    place = torch.device(device)
    if place.type == "cuda" and place.index is None:
        place = torch.device("cuda", torch.cuda.current_device())
    return str(place)
