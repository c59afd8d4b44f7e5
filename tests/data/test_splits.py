import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mnist_core.config import DataConfig
from mnist_core.data import idx, load, splits, storage
from mnist_core.errors import DataError

LABELS = arrays(np.uint8, st.integers(3, 300), elements=st.integers(0, 9))
SEEDS = st.integers(0, 2**70)


@given(labels=LABELS, seed=SEEDS)
def test_disjoint_exhaustive_and_of_exact_size(labels: idx.UInt8Array, seed: int):
    parts = splits.stratified(labels, seed)
    assert len(parts.validation) == splits.validation_size(len(labels))
    both = np.concatenate([parts.train, parts.validation])
    assert np.array_equal(np.sort(both), np.arange(len(labels)))


@given(labels=LABELS, seed=SEEDS)
def test_each_class_within_one_of_its_share(labels: idx.UInt8Array, seed: int):
    parts = splits.stratified(labels, seed)
    drawn = np.bincount(labels[parts.validation], minlength=10)
    exact = np.bincount(labels, minlength=10) * len(parts.validation) / len(labels)
    assert (np.abs(drawn - exact) < 1).all()


@given(labels=LABELS, seed=SEEDS)
def test_a_function_of_labels_and_seed(labels: idx.UInt8Array, seed: int):
    again = splits.stratified(labels.astype(np.int64), seed)
    assert splits.stratified(labels, seed).sha256() == again.sha256()


def test_seeds_differ():
    labels = (np.arange(600) % 10).astype(np.uint8)
    hashes = {splits.stratified(labels, seed).sha256() for seed in range(20)}
    assert len(hashes) == 20


def test_every_image_validates_for_some_seed():
    labels = (np.arange(60) % 10).astype(np.uint8)
    seen = {int(i) for seed in range(100) for i in splits.stratified(labels, seed).validation}
    assert seen == set(range(60))


@pytest.mark.parametrize(
    ("n", "expected"), [(3, 1), (8, 1), (9, 2), (6_000, 1_000), (60_000, 10_000)]
)
def test_validation_size(n: int, expected: int):
    assert splits.validation_size(n) == expected


def test_too_few_images():
    with pytest.raises(DataError, match="at least 3 images to be split, but got 2"):
        splits.stratified(np.zeros(2, np.uint8), 0)


def test_the_split_of_the_embedded_set_never_changes():
    # Results are compared over versions and platforms: these are promises, not observations.
    labels = idx.read_labels(storage.EMBEDDED / "train-labels-idx1-ubyte.gz")
    parts = splits.stratified(labels, 0)
    assert parts.sha256() == "6b9fb25d1bfd5435b843ca33f4fc86138437a5b16aca0e07729523988fe64b84"
    assert load(DataConfig()).split_sha256 == parts.sha256()


@given(labels=LABELS, seed=SEEDS)
def test_halves_have_their_share_of_each_class(labels: idx.UInt8Array, seed: int):
    whole = splits.stratified(labels, seed)
    if len(whole.validation) < 2:
        with pytest.raises(DataError):
            splits.halved(whole, labels, seed)
        return
    parts = splits.halved(whole, labels, seed)
    assert parts.train.tolist() == whole.train.tolist()
    assert sorted([*parts.validation, *parts.confirm]) == whole.validation.tolist()
    assert len(parts.confirm) == len(whole.validation) // 2
    for label in np.unique(labels):
        halves = [int((labels[part] == label).sum()) for part in (parts.validation, parts.confirm)]
        assert abs(halves[0] - halves[1]) <= 2
    assert len(parts.confirm) == 0 or parts.sha256() != whole.sha256()
