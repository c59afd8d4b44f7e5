"""The images of a data set as arrays, read from its files and split; nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from mnist_core.config import DataConfig
from mnist_core.data import idx, name_or_path, own_images, splits, storage, suitability
from mnist_core.data.readers.parts import TRAIN, VALIDATION
from mnist_core.data.registry import DataFile, DataSet, by_name
from mnist_core.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """The validation or confirm images as arrays, to be shown.

    Attributes:
        images: uint8 in the split's order: ``[N, rows, columns]``, 0 (ground) to 255 (ink), or
            in colour ``[N, rows, columns, 3]``.
        labels: ``[N]``.
        fingerprint: of the data set, as ``Data.fingerprint``.
        train_fingerprint: as ``Data.train_fingerprint``.
    """

    images: idx.UInt8Array
    labels: npt.NDArray[np.integer]
    fingerprint: str
    train_fingerprint: str = ""

    def is_of(self, fingerprint: str) -> bool:
        """As ``Data.is_of``."""
        return fingerprint in (self.fingerprint, self.train_fingerprint)


@dataclass(frozen=True)
class Source:
    """Where images come from, and how they are split; hashable, for the caches.

    Attributes:
        name: of the data set.
        seed: of the split.
        confirm: as ``DataConfig.confirm``.
        test_set: as ``DataConfig.test_set``.
    """

    name: str
    folder: Path
    seed: int
    confirm: str
    test_set: bool

    @classmethod
    def of(cls, config: DataConfig) -> Self:
        """Return the source that ``config`` names.

        Raises:
            DataError: if the data set is unknown, or a folder without a root.
        """
        data_set = by_name(config.name)
        folder = storage.folder_of(data_set, config.root)
        return cls(data_set.name, folder, config.split_seed, config.confirm, config.test_set)

    @property
    def data_set(self) -> DataSet:
        """The entry of the registry."""
        return by_name(self.name)

    def split(self, classes: idx.UInt8Array) -> splits.Indices:
        """Return which of the training images, of ``classes``, train, validate and confirm."""
        indices = splits.stratified(classes, self.seed)
        return splits.halved(indices, classes, self.seed) if self.confirm == "half" else indices


@dataclass(frozen=True, eq=False)
class Arrays:
    """All images that may be trained or validated on, and how they are split."""

    images: idx.UInt8Array
    classes: idx.UInt8Array
    n_classes: int
    sha256: Mapping[str, str]
    indices: splits.Indices
    fingerprint: str
    train_fingerprint: str
    test_problem: str


def read(source: Source) -> Arrays:
    """Read and check all files of ``source``; the test images are not decoded.

    Raises:
        DataError: if a file is missing or damaged, or the images cannot be learned from.
    """
    data_set, folder = source.data_set, source.folder
    images, labels = read_pair(data_set, data_set.files[:2], folder)
    train_sha256 = {
        data_set.train_images.name: images.sha256(),
        data_set.train_labels.name: labels.sha256(),
    }
    classes = labels.labels(data_set.n_classes or 256)
    n_classes = suitability.count_classes(data_set, labels.path, classes)
    test_sha256: dict[str, str] = {}
    problem = suitability.NO_TEST_SET
    if source.test_set:
        test_sha256, problem = suitability.look_at_test(
            data_set, folder, images, classes, n_classes
        )
    sha256 = train_sha256 | test_sha256
    indices = source.split(classes)
    name, split = data_set.name, indices.sha256()
    return Arrays(
        images=images.images(),
        classes=classes,
        n_classes=n_classes,
        sha256=sha256,
        indices=indices,
        fingerprint=_fingerprint(name, n_classes, sha256, split),
        train_fingerprint=_fingerprint(name, n_classes, train_sha256, split),
        test_problem=problem,
    )


def validation_images(config: DataConfig) -> LabelledImages:
    """Read the validation images without torch, and without a download.

    Raises:
        DataError: if the data set is unknown, missing or damaged.
    """
    source = own_images.OwnSource.of(config)
    if source is not None:
        theirs = own_images.read(source)
        judged = theirs.images(VALIDATION)
        return LabelledImages(
            images=judged.images,
            labels=judged.labels,
            fingerprint=theirs.fingerprint,
            train_fingerprint=theirs.train_fingerprint,
        )
    found = read(Source.of(config))
    chosen = found.indices.validation
    return LabelledImages(
        images=found.images[chosen],
        labels=found.classes[chosen],
        fingerprint=found.fingerprint,
        train_fingerprint=found.train_fingerprint,
    )


def training_images(config: DataConfig) -> idx.UInt8Array:
    """Read the images to learn from, uint8 ``[N, …]``, in the same way.

    Raises:
        DataError: as ``validation_images``.
    """
    source = own_images.OwnSource.of(config)
    if source is not None:
        return own_images.read(source).images(TRAIN).images
    found = read(Source.of(config))
    return found.images[found.indices.train]


def test_images_sha256(config: DataConfig) -> str:
    """Return the hash of the raw file of test images; empty: it is not known, and not here."""
    if name_or_path.own_path(config) is not None:
        return ""
    data_set = by_name(config.name)
    if data_set.test_images.sha256:
        return data_set.test_images.sha256
    try:
        folder = storage.folder_of(data_set, config.root)
        return storage.read_verified(data_set, data_set.test_images, folder).sha256()
    except DataError:
        return ""


def confirm_images(source: Source) -> LabelledImages | None:
    """Read the images that judge confirmed models, and nothing else; None: there are none.

    Raises:
        DataError: as ``read``, or the data set's own confirm images do not fit to the training.
    """
    own = source.data_set.confirm if source.confirm == "own" else ()
    if not own and source.confirm != "half":
        return None
    found = read(source)
    chosen = found.indices.confirm
    images, labels = found.images[chosen], found.classes[chosen]
    if own:
        files = read_pair(source.data_set, own, source.folder)
        shape = found.images.shape[1:]
        suitability.check_fits(*files, shape, found.classes, found.n_classes)
        images, labels = files[0].images(), files[1].labels(found.n_classes)
    return LabelledImages(
        images=images,
        labels=labels,
        fingerprint=found.fingerprint,
        train_fingerprint=found.train_fingerprint,
    )


def read_pair(data_set: DataSet, pair: Sequence[DataFile], folder: Path) -> tuple[idx.Raw, idx.Raw]:
    """Read a file of images and the one of their labels.

    Raises:
        DataError: if one is missing or damaged, they do not belong together, or hold no image.
    """
    images, labels = (storage.read_verified(data_set, file, folder) for file in pair)
    idx.check_pair(images, labels)
    if not images.shape[0]:
        raise DataError(f"{idx.one_line(images.path)}: byte 4: expected images, but got none")
    return images, labels


def _fingerprint(name: str, n_classes: int, sha256: Mapping[str, str], split_sha256: str) -> str:
    parts = json.dumps([name, n_classes, sorted(sha256.items()), split_sha256])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
