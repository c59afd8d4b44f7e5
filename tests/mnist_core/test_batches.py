"""Batches: permutations that only the seed decides, of images as torchvision makes them."""

import numpy as np
import pytest
import torch
from torchvision.transforms import Compose, Normalize, ToTensor

from mnist_core.batches.batches import Batches, normalise, stream_seed
from mnist_core.config import AugmentConfig
from mnist_core.data import Split

SHIFTS = AugmentConfig(shift=0.1)


def numbered(n):
    """A split whose labels are the images' numbers, and whose images say them too."""
    images = torch.zeros(n, 28, 28, dtype=torch.uint8)
    images[:, 0, 0] = torch.arange(n) % 256
    return Split(images, torch.arange(n))


def batches(split, batch_size=32, *, seed=5, augmentation=None, dtype=torch.float32):
    augmentation = augmentation or AugmentConfig()
    return Batches(split, batch_size, seed=seed, augmentation=augmentation, dtype=dtype)


def labels_of(stream):
    return torch.cat([labels for _, labels in stream.epoch()])


@pytest.mark.parametrize("augmentation", [AugmentConfig(), SHIFTS])
@pytest.mark.parametrize(
    ("n", "size", "sizes"),
    [(100, 32, [32, 32, 32, 4]), (96, 32, [32] * 3), (10, 32, [10]), (3, 1, [1, 1, 1])],
)
def test_an_epoch_is_a_permutation(n, size, sizes, augmentation):
    stream = batches(numbered(n), size, augmentation=augmentation)
    assert len(stream) == len(sizes)
    for _ in range(3):
        epoch = list(stream.epoch())
        assert [len(labels) for _, labels in epoch] == sizes
        assert [len(images) for images, _ in epoch] == sizes
        assert sorted(torch.cat([labels for _, labels in epoch]).tolist()) == list(range(n))


def test_images_and_labels_stay_together():
    split = numbered(200)
    for images, labels in batches(split).epoch():
        expected = normalise(split.images[labels], torch.float32)
        assert torch.equal(images, expected)


def test_the_order_depends_on_the_seed_alone(few):
    split = numbered(300)
    first = batches(split)
    epochs = [labels_of(first) for _ in range(3)]
    torch.manual_seed(99)  # the global generator has no say
    # Nor do the sizes of the batches, the images, their type or augmentation.
    for again in (
        batches(split),
        batches(split, 7),
        batches(Split(few.train.images, torch.arange(300)), dtype=torch.bfloat16),
        batches(split, augmentation=AugmentConfig(rotate=30)),
    ):
        for epoch in epochs:
            assert torch.equal(labels_of(again), epoch)
            torch.rand(3)


def test_every_epoch_and_every_seed_has_an_order_of_its_own():
    split = numbered(300)
    orders = [tuple(labels_of(batches(split, seed=seed)).tolist()) for seed in range(20)]
    stream = batches(split, seed=0)
    orders += [tuple(labels_of(stream).tolist()) for _ in range(5)][1:]
    assert len(set(orders)) == len(orders)
    assert tuple(range(300)) not in orders


def test_orders_are_uniform():
    """Over many seeds each image is as often in the first half as in the second."""
    split = numbered(10)
    positions = np.array([labels_of(batches(split, seed=s)).tolist() for s in range(2_000)])
    counts = np.array([(positions[:, :5] == image).sum() for image in range(10)])
    # Binomial(2000, 1/2): standard deviation 22, five of them are allowed.
    assert np.abs(counts - 1_000).max() < 112


@pytest.mark.parametrize("shape", [(28, 28), (6, 4)])
def test_normalisation_is_torchvisions(shape):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, *shape), np.uint8))
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    expected = torch.stack([transform(image.numpy()) for image in images])
    before = images.clone()
    ours = normalise(images, torch.float32)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    assert torch.equal(images, before)
    half = normalise(images, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, ours.to(torch.bfloat16))


def test_all_gray_levels():
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    expected = transform(images[0].numpy())
    torch.testing.assert_close(normalise(images, torch.float32)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("augmentation", [AugmentConfig(), SHIFTS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layout_is_channels_last(few, augmentation, dtype):
    for images, labels in batches(few.train, 64, augmentation=augmentation, dtype=dtype).epoch():
        assert images.shape == (len(labels), 1, 28, 28)
        assert images.dtype == dtype
        # With one channel torch calls almost everything channels-last: look at the strides.
        assert images.stride() == (784, 1, 28, 1)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_augmented_images_are_fresh_at_each_use(few):
    split = Split(few.train.images[:1], few.train.labels[:1])
    stream = batches(split, augmentation=SHIFTS)
    uses = [next(stream.epoch())[0] for _ in range(5)]
    assert all(not torch.equal(a, b) for i, a in enumerate(uses) for b in uses[:i])
    again = batches(split, augmentation=SHIFTS)
    assert all(torch.equal(use, next(again.epoch())[0]) for use in uses)
    other = batches(split, augmentation=SHIFTS, seed=6)
    assert not torch.equal(next(other.epoch())[0], uses[0])


def test_the_data_is_never_changed(few):
    before = few.train.images.clone()
    for augmentation in (AugmentConfig(), SHIFTS):
        for images, _ in batches(few.train, augmentation=augmentation).epoch():
            images.zero_()
    assert torch.equal(few.train.images, before)


def test_the_global_generator_is_untouched(few):
    before = torch.get_rng_state()
    for _ in batches(few.train, augmentation=SHIFTS).epoch():
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_of_a_seed_are_independent():
    seeds = [stream_seed(s, name) for s in range(50) for name in ("model", "order", "augment")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed(2**63 - 1, "order") != stream_seed(0, "order")


def test_stream_seeds_stay_what_they_are():
    """A change makes every recorded training come out otherwise: raise TRAINER_VERSION then."""
    words = np.random.SeedSequence([0, *b"order"]).generate_state(1, np.uint64)
    assert stream_seed(0, "order") == int(words[0]) // 2
