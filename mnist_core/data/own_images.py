"""The user's own images, split: from a path to arrays for training, validation and test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from mnist_core.config import DataConfig
from mnist_core.console.plain_text import are, counted
from mnist_core.data import cifar_svhn_emnist, decoded_cache, name_or_path, splits, suitability
from mnist_core.data.cifar_svhn_emnist import ARCHIVE_SETS
from mnist_core.data.decoded_cache import Decoded
from mnist_core.data.idx import UInt8Array
from mnist_core.data.readers.parts import (
    TEST,
    TRAIN,
    VALIDATION,
    Labelled,
    Labels,
    Progress,
    Wanted,
)
from mnist_core.data.splits import IntArray
from mnist_core.errors import DataError
from mnist_core.images import Images

_CHUNK = 4096  # images whose mean is taken at a time: all as floats would be four times as large


@dataclass(frozen=True)
class OwnSource:
    """Where own images come from, and how they are split; hashable, for the caches."""

    path: Path
    name: str  # of a data set that comes as archives; empty: they are the user's own
    wanted: Wanted
    seed: int
    confirm: str
    test_set: bool
    progress: Progress | None = field(default=None, compare=False)  # told what is decoded

    @classmethod
    def of(cls, config: DataConfig, progress: Progress | None = None) -> Self | None:
        """Return the source that ``config`` names; None: it names a known data set.

        Raises:
            DataError: if the path does not exist.
        """
        path, name = name_or_path.own_path(config), ""
        if path is not None:
            name_or_path.check_path(path, config.name)
        elif name_or_path.archive_set(config) is not None:
            path, name = name_or_path.folder_of_archives(config), config.name
        else:
            return None
        wanted = Wanted(config.size, config.channels)
        seed, confirm = config.split_seed, config.confirm
        return cls(path.absolute(), name, wanted, seed, confirm, config.test_set, progress)

    @property
    def title(self) -> str:
        """A name for tables and pictures."""
        return self.name or self.path.name


@dataclass(frozen=True, eq=False)
class OwnImages:
    """Own images with their split; the arrays are taken from the cache when they are asked for."""

    found: Decoded
    split_sha256: str
    indices: splits.Indices  # of ``train``; of a validation part of its own they are its places
    test: IntArray | None  # which of the training part are kept apart; None: none
    about: Images
    fingerprint: str
    train_fingerprint: str
    sha256: Mapping[str, str]
    test_problem: str
    unmeasured: str  # a note on classes with no image to be judged by; or ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the images and their split, a line each."""
        return (*self.found.notes, *filter(None, [self.unmeasured]))

    def images(self, which: str) -> Labelled:
        """Return a copy of the images called ``TRAIN``, ``VALIDATION``, ``TEST`` or confirm."""
        parts = self.found.parts
        if which == TEST:
            if self.test_problem:
                raise DataError(self.test_problem)
            return parts[TEST] if self.test is None else _take(parts[TRAIN], self.test)
        if which == TRAIN:
            return _take(parts[TRAIN], self.indices.train)
        chosen = self.indices.validation if which == VALIDATION else self.indices.confirm
        return _take(parts[VALIDATION if VALIDATION in parts else TRAIN], chosen)


def read(source: OwnSource) -> OwnImages:
    """Decode the images, or find them in the cache, and split them.

    Without test images of their own, a sixth of the others is kept apart as such, unless
    ``data.test_set`` is false; without validation images another sixth validates.

    Raises:
        DataError: if they cannot be read, or not be learned from, or are too few to be split.
    """
    known = ARCHIVE_SETS.get(source.name)
    if known is not None:
        cifar_svhn_emnist.download_archives(known, source.path)
    reads = None if known is None else known.decode
    found = decoded_cache.decoded(source.path, source.wanted, source.name, reads, source.progress)
    test, problem = None, "" if source.test_set else suitability.NO_TEST_SET
    labels = found.parts[TRAIN].labels
    learned: IntArray = np.arange(len(labels))
    made = [part for part in _made(source) if part not in found.parts]
    try:
        if TEST in made:
            learned, test = splits.without_test(labels, source.seed)
        indices = _split(found, source, learned, labels)
    except splits.TooFewImages:
        what = f"{counted(len(labels), 'image')} {are(len(labels))}"
        raise suitability.too_few(source.path, what, made) from None
    suitability.check_trained(source.path, labels, indices.train, found.class_names, made)
    judged = {VALIDATION: _labels(found, VALIDATION)[indices.validation]}
    if test is not None or (source.test_set and TEST in found.parts):
        judged[TEST] = _labels(found, TEST) if test is None else labels[test]
    names = hashlib.sha256(json.dumps(found.class_names).encode()).hexdigest()
    sha256 = {**found.sha256, "class names": names}
    without_test = {name: of for name, of in sha256.items() if name != TEST}
    split = _split_sha256(indices, test)
    first = found.parts[TRAIN].images[0]
    mean, std = _moments(found, indices.train, split)
    return OwnImages(
        found=found,
        split_sha256=split,
        indices=indices,
        test=test,
        about=Images(
            rows=first.shape[0],
            columns=first.shape[1],
            channels=3 if first.ndim == 3 else 1,
            class_names=found.class_names,
            mean=mean,
            std=std,
        ),
        fingerprint=_fingerprint(sha256, split),
        train_fingerprint=_fingerprint(without_test, split),
        sha256=sha256,
        test_problem=problem,
        unmeasured=suitability.unmeasured(
            found.n_classes, judged, made, halved=source.confirm == "half"
        ),
    )


def _labels(found: Decoded, part: str) -> Labels:
    """Return the labels that places of ``part`` count from: its own, or those of training."""
    return found.parts[part if part in found.parts else TRAIN].labels


def _split(found: Decoded, source: OwnSource, learned: IntArray, labels: Labels) -> splits.Indices:
    if VALIDATION in found.parts:
        judged = found.parts[VALIDATION].labels
        indices = splits.Indices(learned, np.arange(len(judged)))
    else:
        chosen = splits.stratified(labels[learned], source.seed)
        judged = labels
        indices = splits.Indices(learned[chosen.train], learned[chosen.validation])
    if source.confirm == "half":
        return splits.halved(indices, judged, source.seed)
    return indices


def _made(source: OwnSource) -> tuple[str, ...]:
    """Return the parts that are split off the training images, unless the files have them."""
    return (VALIDATION, TEST) if source.test_set else (VALIDATION,)


def _take(part: Labelled, chosen: IntArray) -> Labelled:
    return Labelled(part.images[chosen], part.labels[chosen])


def _split_sha256(indices: splits.Indices, test: IntArray | None) -> str:
    digest = hashlib.sha256(indices.sha256().encode())
    if test is not None:
        digest.update(test.astype("<i8").tobytes())
    return digest.hexdigest()


def _fingerprint(sha256: Mapping[str, str], split: str) -> str:
    # Neither path nor name: the same images at another place are the same.
    text = json.dumps(["own images", sorted(sha256.items()), split])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _moments(
    found: Decoded, train: IntArray, split: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel of the training images, on the scale 0 to 1."""
    name = f"moments-{split[:16]}"
    kept = decoded_cache.remembered(found, name)
    if kept is None or not {"mean", "std"} <= kept.keys():
        kept = measured(found.parts[TRAIN].images, train)
        decoded_cache.remember(found, name, kept)
    return tuple(kept["mean"]), tuple(kept["std"])


def measured(images: UInt8Array, chosen: IntArray) -> dict[str, list[float]]:
    """Return ``mean`` and ``std`` of each channel of the chosen images, on the scale 0 to 1."""
    channels = images.shape[3] if images.ndim == 4 else 1
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(chosen), _CHUNK):
        some = images[chosen[start : start + _CHUNK]].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(some[:, channel], minlength=256)
    levels = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    deviation = np.sqrt(shares @ levels**2 - mean**2)
    # Images of one level only: any deviation but 0 does.
    std = np.where(deviation > 1e-6, deviation, 1.0)
    return {"mean": mean.round(6).tolist(), "std": std.round(6).tolist()}
