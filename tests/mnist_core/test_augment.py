"""Augmentation against torchvision's affine, image by image.

Conventions, in torchvision's terms (its angles turn clockwise): a positive draw turns the picture
anticlockwise, enlarges it, shears it as torchvision's positive x shear does, and shifts it left
and up. Shifts are shares of the side.
"""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from mnist_core.batches.augment import affine_matrices, augment
from mnist_core.config import AugmentConfig


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def draws(n, seed=3):
    """The numbers between -1 and 1 that a batch of ``n`` is made of, in their order."""
    rotation, scale, shear, shift_x, shift_y = torch.rand(5, n, generator=generator(seed)) * 2 - 1
    return rotation, scale, shear, shift_x, shift_y


def by_torchvision(image, *, angle=0.0, scale=1.0, shear=(0.0, 0.0), shift=(0.0, 0.0)):
    return vision.affine(
        image,
        angle=angle,
        translate=list(shift),
        scale=scale,
        shear=list(shear),
        interpolation=InterpolationMode.BILINEAR,
        fill=0.0,
    )


@pytest.fixture
def images(few):
    return few.train.images[:24].unsqueeze(1).float()


def close(ours, theirs):
    # Pixels are 0 .. 255; torchvision reckons its grid in another order.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.05)


def test_zero_strength_is_the_identity(images):
    config = AugmentConfig()
    assert not config.active
    eye = torch.eye(2, 3).expand(5, 2, 3)
    assert torch.equal(affine_matrices(config, 5, generator()), eye)
    torch.testing.assert_close(augment(images, config, generator()), images, rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", ["shift", "rotate", "scale", "shear"])
def test_any_strength_is_active_and_changes_images(name, images):
    config = AugmentConfig(**{name: 0.25 if name in ("shift", "scale") else 20.0})
    assert config.active
    changed = augment(images, config, generator())
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    # Every single image has changed by more than rounding.
    assert ((changed - images).abs().amax(dim=(1, 2, 3)) > 1).all()


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_shift(images, strength):
    ours = augment(images, AugmentConfig(shift=strength), generator())
    _, _, _, x, y = draws(len(images))
    for i, image in enumerate(images):
        # A map leads from output to input, so the picture moves against the draw.
        shift = (-28 * strength * x[i].item(), -28 * strength * y[i].item())
        close(ours[i], by_torchvision(image, shift=shift))


def test_a_shift_of_whole_pixels_moves_pixels(images, monkeypatch):
    """Without torchvision: draws of -3/14 and 2/14 of half a side are 3 right and 2 up."""
    chosen = torch.tensor([0, 0, 0, -3 / 14, 2 / 14]).unsqueeze(1)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: (chosen + 1) / 2)
    moved = augment(images[:1], AugmentConfig(shift=0.5), generator())
    expected = torch.zeros(28, 28)
    expected[:-2, 3:] = images[0, 0, 2:, :-3]
    torch.testing.assert_close(moved[0, 0], expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("strength", [10.0, 45.0, 180.0])
def test_rotation(images, strength):
    ours = augment(images, AugmentConfig(rotate=strength), generator())
    angles = draws(len(images))[0] * strength
    for i, image in enumerate(images):
        close(ours[i], by_torchvision(image, angle=-angles[i].item()))


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_scale(images, strength):
    ours = augment(images, AugmentConfig(scale=strength), generator())
    scales = 1 + draws(len(images))[1] * strength
    for i, image in enumerate(images):
        close(ours[i], by_torchvision(image, scale=scales[i].item()))


@pytest.mark.parametrize("strength", [8.0, 30.0])
def test_shear(images, strength):
    ours = augment(images, AugmentConfig(shear=strength), generator())
    shears = draws(len(images))[2] * strength
    for i, image in enumerate(images):
        close(ours[i], by_torchvision(image, shear=(shears[i].item(), 0.0)))


def test_everything_at_once_is_one_map():
    """Rotation and shear on top of each other, then scale, then the shift in input coordinates."""
    config = AugmentConfig(shift=0.1, rotate=20, scale=0.2, shear=10)
    n = 50
    angle, scale, shear, x, y = (d.double() for d in draws(n))
    angle, shear = angle * math.radians(20), torch.tan(shear * math.radians(10))
    scale = 1 + scale * 0.2
    matrices = affine_matrices(config, n, generator()).double()
    for i in range(n):
        c, s = math.cos(angle[i]), math.sin(angle[i])
        rotation = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        slant = torch.tensor([[1, shear[i]], [0, 1]], dtype=torch.float64)
        torch.testing.assert_close(
            matrices[i, :, :2], rotation @ slant / scale[i], rtol=0, atol=1e-6
        )
        torch.testing.assert_close(
            matrices[i, :, 2], 0.2 * torch.stack([x[i], y[i]]), rtol=0, atol=1e-6
        )


def test_strengths_are_the_greatest_changes():
    n = 4_000
    matrices = affine_matrices(AugmentConfig(rotate=30, scale=0.2, shift=0.1), n, generator())
    scales = 1 / torch.linalg.det(matrices[:, :, :2]).sqrt()
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    for values, low, high in (
        (scales, 0.8, 1.2),
        (angles, -30, 30),
        (matrices[:, 0, 2], -0.2, 0.2),
    ):
        margin = (high - low) * 0.01
        # Uniform: never outside, close to both ends, and centred.
        assert low - 1e-4 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-4
        assert abs(values.mean() - (low + high) / 2) < (high - low) * 0.03


def test_every_image_has_a_map_of_its_own(images):
    same = images[:1].repeat(20, 1, 1, 1)
    config = AugmentConfig(shift=0.1, rotate=20, scale=0.1, shear=5)
    changed = augment(same, config, generator())
    assert len({image.numpy().tobytes() for image in changed}) == 20
    matrices = affine_matrices(config, 20, generator())
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)):
        assert len(set(matrices[:, row, column].tolist())) == 20
    shifts = matrices[:, :, 2]
    assert not torch.allclose(shifts[:, 0], shifts[:, 1])  # x and y are drawn apart


def test_the_generator_decides_and_moves_on(images):
    config = AugmentConfig(shift=0.1, rotate=20)
    state = generator()
    first, second = augment(images, config, state), augment(images, config, state)
    again = generator()
    assert torch.equal(augment(images, config, again), first)
    assert torch.equal(augment(images, config, again), second)
    assert not torch.equal(first, second)
    assert not torch.equal(augment(images, config, generator(4)), first)


def test_neither_input_nor_global_generator_is_touched(images):
    before, state = images.clone(), torch.get_rng_state()
    augment(images, AugmentConfig(shift=0.1, rotate=20, scale=0.1, shear=5), generator())
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_comes_in_from_outside_is_ground():
    ink = torch.full((50, 1, 28, 28), 255.0)
    shifted = augment(ink, AugmentConfig(shift=0.5), generator())
    assert shifted.min() == 0
    assert shifted.max() <= 255.01
    # A shift of at most half a side leaves the middle covered by ink from somewhere.
    assert (shifted.amax(dim=(1, 2, 3)) > 254).all()
