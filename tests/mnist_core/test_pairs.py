"""Pairs: what holds of every draw, their distribution, and what they depend on."""

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnist_core.batches.augment import augment
from mnist_core.batches.batches import normalise, stream_seed
from mnist_core.batches.pair_batches import PairBatches, PairSampler, evaluation_pairs
from mnist_core.config import AugmentConfig
from mnist_core.data import Split
from mnist_core.errors import DataError

SHIFTS = AugmentConfig(shift=0.1)


def words(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(2**62, size=(3, count)))


def numbered(labels):
    """A split whose images say their numbers."""
    images = torch.zeros(len(labels), 28, 28, dtype=torch.uint8)
    images[:, 0, 0] = torch.arange(len(labels)) % 256
    images[:, 0, 1] = torch.arange(len(labels)) // 256
    return Split(images, torch.tensor(labels))


def batches(split, batch_size=32, *, per_epoch=200, seed=5, augmentation=None, dtype=torch.float32):
    return PairBatches(
        split,
        batch_size,
        per_epoch=per_epoch,
        seed=seed,
        augmentation=augmentation or AugmentConfig(),
        dtype=dtype,
    )


def epoch(stream):
    """Return the images and classes of a whole epoch."""
    images, classes = zip(*stream.epoch(), strict=True)
    return torch.cat(images), torch.cat(classes)


# Two classes or more, one of them with two images or more; numbers of classes may be left out.
LABELS = st.lists(st.sampled_from([0, 1, 2, 7]), min_size=3, max_size=40).filter(
    lambda labels: 1 < len(set(labels)) < len(labels)
)


@given(LABELS, st.integers(1, 60), st.integers(0, 2**32))
def test_half_are_of_one_class_and_none_is_an_image_with_itself(labels, count, seed):
    labels = torch.tensor(labels)
    pairs = PairSampler(labels).draw(words(count, seed))
    assert pairs.shape == (count, 2) and pairs.dtype == torch.int64
    assert ((pairs >= 0) & (pairs < len(labels))).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    assert same.sum() == count // 2  # of an odd number one more is different


@given(LABELS, st.integers(2, 40), st.integers(1, 50), st.integers(0, 2**63 - 1))
def test_batches_of_any_size_hold_the_same_pairs(labels, per_epoch, batch_size, seed):
    split = numbered(labels)
    whole = batches(split, per_epoch, per_epoch=per_epoch, seed=seed)
    parts = batches(split, batch_size, per_epoch=per_epoch, seed=seed)
    for _ in range(2):
        torch.manual_seed(99)  # the global generator has no say
        for a, b in zip(epoch(whole), epoch(parts), strict=True):
            assert torch.equal(a, b)


@given(LABELS, st.integers(1, 50), st.integers(0, 100))
def test_evaluation_pairs_keep_the_invariants(labels, count, split_seed):
    labels = torch.tensor(labels)
    pairs = evaluation_pairs(labels, count, split_seed)
    assert pairs.shape == (count, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).sum() == count // 2
    assert torch.equal(pairs, evaluation_pairs(labels.clone(), count, split_seed))


def test_all_pairs_are_as_likely_as_is_said():
    labels = torch.tensor([3, 0, 0, 3, 0, 5])  # 5 has one image, so no pair of its own
    n = 60_000
    pairs = PairSampler(labels).draw(words(n))
    counts = Counter(map(tuple, pairs.tolist()))
    expected = {}
    sizes = Counter(labels.tolist())
    different = [(a, b) for a in range(6) for b in range(6) if labels[a] != labels[b]]
    for pair in different:
        expected[pair] = n / 2 / len(different)
    for a in range(6):
        for b in range(6):
            size = sizes[int(labels[a])]
            if a != b and labels[a] == labels[b]:
                expected[a, b] = n / 2 / 5 / (size - 1)
    assert counts.keys() == expected.keys()
    keys = sorted(expected)
    found = stats.chisquare([counts[k] for k in keys], [expected[k] for k in keys])
    assert found.pvalue > 0.001


def test_the_order_says_nothing(digits):
    """Which image comes first, and where a pair stands, is independent of its kind and classes."""
    labels = digits.train.labels
    pairs = PairSampler(labels).draw(words(40_000))
    a, b = labels[pairs].T.numpy()
    same = a == b
    # Classes of different pairs: first and second have one distribution.
    table = np.stack([np.bincount(a[~same], minlength=10), np.bincount(b[~same], minlength=10)])
    assert stats.chi2_contingency(table).pvalue > 0.001
    lower_first = (pairs[:, 0] < pairs[:, 1]).numpy()
    for kind in (same, ~same):
        assert stats.binomtest(int(lower_first[kind].sum()), int(kind.sum())).pvalue > 0.001
        assert stats.kstest(np.flatnonzero(kind) / len(kind), "uniform").pvalue > 0.001


def test_images_are_as_frequent_as_their_classes(digits):
    labels = digits.train.labels
    pairs = PairSampler(labels).draw(words(50_000))
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    share = (torch.bincount(labels) / len(labels)).double().numpy()
    # A class of share p has p (1 - p) of the different pairs: 10 classes nearly share alike.
    crossing = share * (1 - share) / (share * (1 - share)).sum()
    assert np.abs(crossing / share - 1).max() < 0.02
    for kind, expected in ((same, share), (~same, crossing)):
        for side in (0, 1):
            drawn = torch.bincount(labels[pairs[kind, side]], minlength=10).numpy()
            assert stats.chisquare(drawn, expected * 25_000).pvalue > 0.001
    used = torch.bincount(pairs.flatten(), minlength=len(labels))
    assert used.min() > 0


def test_a_class_of_one_image_has_different_pairs_only():
    labels = torch.tensor([0, 1, 1, 2])
    pairs = PairSampler(labels).draw(words(1000))
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    assert set(pairs[same].flatten().tolist()) == {1, 2}
    assert set(pairs[~same].flatten().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([4, 4, 4], "two classes, but all 3 images are of class 4"),
        ([0, 1, 2], "a class with two images"),
        ([4], "a class with two images"),
        ([], "a class with two images"),
    ],
)
def test_images_that_make_no_pairs_are_refused(refusal, labels, said):
    labels = torch.tensor(labels, dtype=torch.int64)
    assert said in refusal(DataError, PairSampler, labels)
    assert said in refusal(DataError, evaluation_pairs, labels, 4, 0)


def test_many_images_do_not_overflow():
    labels = torch.arange(300_000) % 10
    pairs = PairSampler(labels).draw(words(20_000))
    assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).sum() == 10_000
    # Five standard deviations of the mean of 40,000 uniform numbers.
    assert abs(pairs.double().mean().item() / 150_000 - 1) < 5 / (3 * 40_000) ** 0.5


def test_evaluation_pairs_depend_on_split_seed_and_labels_alone(digits):
    labels, count = digits.validation.labels, 4000
    pairs = evaluation_pairs(labels, count, 0)
    torch.manual_seed(5)
    assert torch.equal(evaluation_pairs(labels, count, 0), pairs)
    assert not torch.equal(evaluation_pairs(labels, count, 1), pairs)
    others = labels.roll(1)
    assert not torch.equal(evaluation_pairs(others, count, 0), pairs)
    # The stream is another one, too: not the same places among the images sorted by class.
    ranks = [of.argsort(stable=True).argsort() for of in (labels, others)]
    assert not torch.equal(ranks[0][pairs], ranks[1][evaluation_pairs(others, count, 0)])


def test_evaluation_pairs_stay_what_they_are():
    """A change makes every recorded pair accuracy incomparable: raise TRAINER_VERSION then."""
    labels = np.arange(1000) % 10
    pairs = evaluation_pairs(torch.from_numpy(labels), 4000, 7).numpy()
    digest = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    raw = np.random.PCG64(stream_seed(7, f"evaluation pairs {digest}")).random_raw(12_000)
    order, first, second = (raw // 4).astype(object).reshape(3, -1)
    members = [np.flatnonzero(labels == label) for label in range(10)]
    expected = []
    for u, v in zip(first[:2000], second[:2000], strict=True):
        of_class, within = members[u % 1000 // 100], u % 1000 % 100
        expected.append((of_class[within], of_class[(within + 1 + v % 99) % 100]))
    by_class = np.concatenate(members)
    for u in first[2000:]:
        label, number = divmod(u % 900_000, 90_000)
        within, other = divmod(number, 900)
        expected.append((members[label][within], by_class[((label + 1) * 100 + other) % 1000]))
    shuffled = np.array(expected, dtype=np.int64)[np.argsort(order.astype(np.int64))]
    np.testing.assert_array_equal(pairs, shuffled)


@pytest.mark.parametrize("augmentation", [AugmentConfig(), SHIFTS])
@pytest.mark.parametrize(
    ("per_epoch", "size", "sizes"), [(100, 32, [32, 32, 32, 4]), (96, 32, [32] * 3), (3, 8, [3])]
)
def test_the_sizes_of_batches(per_epoch, size, sizes, augmentation):
    stream = batches(numbered([0, 0, 1, 1]), size, per_epoch=per_epoch, augmentation=augmentation)
    assert len(stream) == len(sizes)
    for _ in range(2):
        found = list(stream.epoch())
        assert [images.shape for images, _ in found] == [(n, 2, 28, 28) for n in sizes]
        assert [classes.shape for _, classes in found] == [(n, 2) for n in sizes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_hold_the_pairs_images(few, dtype):
    split = Split(few.train.images, torch.arange(300) % 3)  # any labels will do
    images, classes = epoch(batches(split, dtype=dtype))
    by_content = {
        image.numpy().tobytes(): number
        for number, image in enumerate(normalise(split.images, dtype).float())
    }
    numbers = [
        [by_content[image.float().unsqueeze(0).numpy().tobytes()] for image in pair]
        for pair in images
    ]
    assert images.dtype == dtype
    assert torch.equal(split.labels[torch.tensor(numbers)], classes)
    assert (classes[:, 0] == classes[:, 1]).sum() == 100


def test_every_epoch_and_every_seed_has_pairs_of_its_own(few):
    firsts = [epoch(batches(few.train, seed=seed))[0] for seed in range(4)]
    stream = batches(few.train, seed=0)
    firsts += [epoch(stream)[0] for _ in range(3)][1:]
    assert all(not torch.equal(a, b) for i, a in enumerate(firsts) for b in firsts[:i])


def test_both_images_are_augmented_apart_by_the_seeds_stream(few):
    stream = batches(few.train, 200, augmentation=SHIFTS)
    images, classes = epoch(stream)
    plain, plain_classes = epoch(batches(few.train, 200))
    assert torch.equal(classes, plain_classes)  # the pairs are the same
    generator = torch.Generator().manual_seed(stream_seed(5, "augment"))
    raw = (plain * 0.3081 + 0.1307) * 255
    raw = raw.round().reshape(400, 1, 28, 28)
    changed = augment(raw, SHIFTS, generator).squeeze(1)
    expected = normalise(changed, torch.float32).reshape(200, 2, 28, 28)
    torch.testing.assert_close(images, expected)
    again, _ = epoch(stream)
    assert not torch.equal(images, again)


def test_an_image_may_look_different_twice_in_a_pair():
    """Both images of a pair are alike here, so only their own changes tell them apart."""
    images = torch.zeros(4, 28, 28, dtype=torch.uint8)
    images[:, 10:18, 10:18] = 255
    split = Split(images, torch.tensor([0, 0, 1, 1]))
    found, _ = epoch(batches(split, augmentation=SHIFTS))
    assert all(not torch.equal(a, b) for a, b in found)


@pytest.mark.parametrize("augmentation", [AugmentConfig(), SHIFTS])
def test_a_state_goes_on_where_it_was(few, augmentation):
    whole = batches(few.train, augmentation=augmentation)
    epoch(whole)
    state = {name: value.clone() for name, value in whole.state().items()}
    other = batches(few.train, augmentation=augmentation, seed=77)
    other.load_state(state)
    for _ in range(2):
        for a, b in zip(epoch(whole), epoch(other), strict=True):
            assert torch.equal(a, b)


def test_nothing_outside_is_touched(few):
    state, images = torch.get_rng_state(), few.train.images.clone()
    for augmentation in (AugmentConfig(), SHIFTS):
        for inputs, _ in batches(few.train, augmentation=augmentation).epoch():
            inputs.zero_()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(few.train.images, images)
