"""The share of images that are moved, elastic displacement, blur and erasing.

Each against torchvision's function with the very parameters of every image, and by properties.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from mnist_core.batches import augment as module
from mnist_core.batches.augment import (
    affine_matrices,
    augment,
    blur,
    blur_sigmas,
    displacements,
    erase,
    erased_rectangles,
    gaussian_matrix,
    sampling_grid,
)
from mnist_core.config import AugmentConfig
from mnist_core.errors import ConfigError

CPU = torch.device("cpu")
MAP = {"shift": 0.1, "rotate": 20.0, "scale": 0.1, "shear": 5.0}
EVERYTHING = AugmentConfig(
    **MAP, affine_p=0.7, elastic=2.0, blur_p=0.4, erase_p=0.4, elastic_sigma=3.0
)


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images(few):
    return few.train.images[:24].unsqueeze(1).float()


def drawn(size=(28, 28)):
    """Images without a blank border, so that edges are put to the test."""
    return torch.rand(40, 1, *size, generator=generator(8)) * 255


def changed(before, after):
    """Which images differ by a single bit."""
    return (before != after).flatten(1).any(dim=1)


# Maps of everything at once


def test_a_whole_map_is_torchvisions(images):
    """Rotation, scale, shear and shift together, as the one affine call with the same effect.

    torchvision takes one angle, one scale and two shears; they are solved for from our matrix. It
    has none where our first axis becomes shorter than the scale.
    """
    ours = augment(images, AugmentConfig(**MAP), generator())
    maps = affine_matrices(AugmentConfig(**MAP), len(images), generator()).double()
    compared = 0
    for image, to_input, result in zip(images, maps, ours, strict=True):
        linear = torch.linalg.inv(to_input[:, :2])
        shift = -linear @ to_input[:, 2] * 14
        scale = torch.linalg.det(linear).sqrt().item()
        stretch = scale / linear[:, 0].norm().item()
        if stretch > 1:
            continue
        direction = math.atan2(linear[1, 0], linear[0, 0])
        for shear_y in (math.acos(stretch), -math.acos(stretch)):
            angle = direction + shear_y
            # Second column: minus the first times tan(shear x), plus the turned axis.
            turned = torch.tensor([-math.sin(angle), math.cos(angle)], dtype=torch.float64)
            tangents = (turned - linear[:, 1] / scale) / (linear[:, 0] / scale)
            if abs(tangents[0] - tangents[1]) < 1e-5:
                break
        else:
            raise AssertionError("no such map in torchvision")
        theirs = vision.affine(
            image,
            angle=math.degrees(angle),
            translate=shift.tolist(),
            scale=scale,
            shear=[math.degrees(math.atan(tangents[0])), math.degrees(shear_y)],
            interpolation=InterpolationMode.BILINEAR,
            fill=None,
        )
        torch.testing.assert_close(result, theirs, rtol=0, atol=0.05)  # of 255
        compared += 1
    assert compared > len(images) // 4


# The share that is moved


def test_unmoved_images_are_exact_and_the_others_as_ever():
    images = drawn().repeat(50, 1, 1, 1)
    n = len(images)
    part = augment(images, AugmentConfig(**MAP, affine_p=0.7), generator())
    everyone = augment(images, AugmentConfig(**MAP), generator())
    moved = changed(images, part)
    assert torch.equal(part[moved], everyone[moved])
    # Five standard deviations of a share.
    assert abs(moved.float().mean() - 0.7) < 5 * math.sqrt(0.7 * 0.3 / n)


def test_whether_all_are_moved_draws_nothing_more():
    state = generator()
    augment(drawn(), AugmentConfig(**MAP), state)
    plain = generator()
    torch.rand(5, 40, generator=plain)
    assert torch.equal(state.get_state(), plain.get_state())


def test_no_share_is_no_map():
    config = AugmentConfig(**MAP, affine_p=0.0)
    assert not config.active
    images = drawn()
    assert torch.equal(augment(images, config, generator()), images)


# Elastic


@pytest.mark.parametrize("sigma", [0.4, 1.0, 4.0, 9.3, 14.0])
@pytest.mark.parametrize("n", [1, 2, 20, 28])
def test_gaussian_matrix_is_scipys_filter(n, sigma):
    ours = gaussian_matrix(n, sigma, CPU).double().numpy()
    theirs = ndimage.gaussian_filter1d(np.eye(n), sigma, axis=0, mode="mirror")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_gaussian_matrix_is_torchvisions_blur():
    field = torch.rand(28, 28, generator=generator())
    matrix = gaussian_matrix(28, 2.5, CPU)
    theirs = vision.gaussian_blur(field.unsqueeze(0), [21, 21], [2.5, 2.5])[0]
    torch.testing.assert_close(matrix @ field @ matrix.T, theirs, rtol=0, atol=1e-5)


def test_displacements_are_smoothed_noise_of_the_drawn_length():
    config = AugmentConfig(elastic=3.0, elastic_sigma=2.0)
    fields = displacements(config, 6, (28, 20), generator())
    again = generator()
    strength = torch.rand(6, generator=again) * 3
    noise = module._noise((6, 2, 28, 20), again).double().numpy()
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2.0, 2.0), mode="mirror")
    smooth /= np.sqrt((smooth**2).sum(axis=1)).max(axis=(1, 2)).reshape(-1, 1, 1, 1)
    expected = torch.from_numpy(smooth * strength.double().view(-1, 1, 1, 1).numpy())
    torch.testing.assert_close(fields.double(), expected, rtol=0, atol=1e-5)
    assert again.get_state().equal(after(displacements, config, 6, (28, 20)))


def after(draw, *arguments):
    state = generator()
    draw(*arguments, state)
    return state.get_state()


def test_noise_is_uniform_in_every_place():
    noise = module._noise((1000, 3, 5, 7), generator()) / 32768
    assert noise.shape == (1000, 3, 5, 7)
    assert noise.dtype == torch.float32
    assert -1 <= noise.min() < -0.999
    assert 0.999 < noise.max() < 1
    error = 5 * math.sqrt(1 / 3 / 1000)
    # Also of each of the four values that are cut from one word.
    for k in range(4):
        values = noise.flatten()[k::4]
        assert abs(values.mean()) < 5 * math.sqrt(1 / 3 / len(values))
        assert abs((values**2).mean() - 1 / 3) < 0.01
    assert (noise.mean(dim=0).abs() < error).all()


@pytest.mark.parametrize("size", [(28, 28), (20, 33)])
@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_elastic_is_torchvisions(size, sigma):
    images = drawn(size)
    config = AugmentConfig(elastic=4.0, elastic_sigma=sigma)
    ours = augment(images, config, generator())
    fields = displacements(config, len(images), size, generator())
    for i, image in enumerate(images):
        in_halves = fields[i] * torch.tensor([2 / size[1], 2 / size[0]]).view(2, 1, 1)
        # With a fill, torchvision fades the edges out twice; without one, outside is 0.
        theirs = vision.elastic(image, in_halves.permute(1, 2, 0).unsqueeze(0), fill=None)
        # Of 255; 33 columns are not added up in the same order.
        torch.testing.assert_close(ours[i], theirs, rtol=0, atol=0.02)
    assert changed(images, ours).all()


def test_map_and_displacement_are_one_sampling(images):
    """Read at map(place) + displacement, in torchvision's terms a displacement of both."""
    config = AugmentConfig(**MAP, elastic=2.0)
    ours = augment(images, config, generator())
    state = generator()
    maps = affine_matrices(config, len(images), state)
    fields = displacements(config, len(images), (28, 28), state).permute(0, 2, 3, 1) / 14
    places = torch.nn.functional.affine_grid(maps, list(images.shape), align_corners=False)
    own = torch.nn.functional.affine_grid(
        torch.eye(2, 3)[None], [1, 1, 28, 28], align_corners=False
    )
    for i, image in enumerate(images):
        theirs = vision.elastic(image, places[i : i + 1] - own + fields[i : i + 1], fill=None)
        torch.testing.assert_close(ours[i], theirs, rtol=0, atol=0.02)


def test_unmapped_images_are_displaced_alone(images):
    config = AugmentConfig(**MAP, affine_p=0.5, elastic=2.0)
    ours = augment(images, config, generator())
    state = generator()
    maps = affine_matrices(config, len(images), state)
    mapped = torch.rand(len(images), generator=state) < 0.5
    assert 0 < mapped.sum() < len(images)
    maps[~mapped] = torch.eye(2, 3)
    grid = sampling_grid(maps, 28, 28, displacements(config, len(images), (28, 28), state))
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-3)


@settings(max_examples=40)
@given(
    strength=st.floats(0.01, 10),
    sigma=st.floats(0.05, 14),
    n=st.integers(1, 20),
    seed=st.integers(0),
)
def test_displacements_keep_their_promise(strength, sigma, n, seed):
    config = AugmentConfig(elastic=strength, elastic_sigma=sigma)
    fields = displacements(config, n, (28, 28), generator(seed % 2**63))
    lengths = fields.square().sum(dim=1).sqrt().amax(dim=(1, 2))
    strengths = torch.rand(n, generator=generator(seed % 2**63)) * strength
    torch.testing.assert_close(lengths, strengths, rtol=1e-3, atol=1e-6)
    assert torch.isfinite(fields).all()


def test_a_greater_sigma_is_smoother():
    rough = [
        displacements(AugmentConfig(elastic=5.0, elastic_sigma=s), 200, (28, 28), generator())
        .diff(dim=-1)
        .square()
        .mean()
        for s in (0.5, 1.0, 2.0, 4.0, 8.0)
    ]
    assert all(a > 1.5 * b for a, b in itertools.pairwise(rough))


# Blur


@pytest.mark.parametrize(("low", "high"), [(0.1, 1.0), (0.5, 0.5), (2.0, 10.0)])
@pytest.mark.parametrize("size", [(28, 28), (20, 33), (2, 2)])
def test_blur_is_torchvisions(low, high, size):
    images = drawn(size)
    config = AugmentConfig(blur_p=0.6, blur_low=low, blur_high=high)
    ours = augment(images, config, generator())
    sigmas = blur_sigmas(config, len(images), generator()).tolist()
    assert 0 < sigmas.count(0) < len(images)
    for image, sigma, result in zip(images, sigmas, ours, strict=True):
        if sigma == 0:
            assert torch.equal(result, image)
        else:
            theirs = vision.gaussian_blur(image, [3, 3], [sigma, sigma])
            torch.testing.assert_close(result, theirs, rtol=0, atol=1e-3)  # of 255


@settings(max_examples=60)
@given(
    p=st.floats(0, 1),
    low=st.floats(0.001, 10),
    width=st.floats(0, 1),
    n=st.integers(1, 300),
    seed=st.integers(0, 2**63 - 1),
)
def test_sigmas_are_in_their_range(p, low, width, n, seed):
    high = low + width * (10 - low)
    config = AugmentConfig(blur_p=p, blur_low=low, blur_high=max(low, high))
    sigmas = blur_sigmas(config, n, generator(seed))
    assert sigmas.shape == (n,)
    blurred = sigmas[sigmas != 0]
    assert (blurred >= low * (1 - 1e-6)).all()
    assert (blurred <= config.blur_high * (1 + 1e-6)).all()
    if p in (0.0, 1.0):
        assert len(blurred) == p * n


def test_sigmas_are_uniform_and_their_share_is_right():
    n = 20_000
    sigmas = blur_sigmas(AugmentConfig(blur_p=0.2, blur_low=0.5, blur_high=1.5), n, generator())
    blurred = sigmas[sigmas > 0]
    assert abs(len(blurred) / n - 0.2) < 5 * math.sqrt(0.16 / n)
    assert abs(blurred.mean() - 1.0) < 5 * math.sqrt(1 / 12 / len(blurred))
    assert abs(blurred.var() - 1 / 12) < 0.005


def test_a_flat_image_stays_flat():
    flat = torch.full((5, 1, 28, 28), 77.3)
    assert torch.equal(blur(flat, torch.tensor([0.0, 0.1, 0.5, 1.0, 10.0])), flat)


@pytest.mark.parametrize("given_", [{"blur_low": 3.0}, {"blur_low": 0.5, "blur_high": 0.4}])
def test_a_range_that_is_none_is_refused(given_, refusal):
    message = refusal(ConfigError, AugmentConfig.from_mapping, given_, source="x")
    assert message.startswith("x: blur_high: must not be below blur_low (")


# Erasing


def test_erasing_is_torchvisions():
    images = drawn((28, 20))
    config = AugmentConfig(erase_p=0.6, erase_area=0.4)
    ours = augment(images, config, generator())
    rectangles = erased_rectangles(config, len(images), (28, 20), generator())
    for image, rectangle, result in zip(images, rectangles.T.tolist(), ours, strict=True):
        i, j, h, w = rectangle
        theirs = vision.erase(image, i=i, j=j, h=h, w=w, v=torch.zeros(1, 1, 1))
        assert torch.equal(result, theirs)
        assert (result == 0).sum() == h * w
    assert 0 < (rectangles[2] == 0).sum() < len(images)


@settings(max_examples=150)
@given(
    p=st.floats(0, 1),
    area=st.floats(0.001, 1),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    n=st.integers(1, 300),
    seed=st.integers(0, 2**63 - 1),
)
def test_rectangles_are_in_their_range(p, area, rows, columns, n, seed):
    config = AugmentConfig(erase_p=p, erase_area=area)
    rectangles = erased_rectangles(config, n, (rows, columns), generator(seed))
    assert rectangles.shape == (4, n)
    top, left, height, width = rectangles
    none = height == 0
    assert (rectangles[:, none] == 0).all()
    assert (rectangles >= 0).all()
    assert (top + height <= rows).all()
    assert (left + width <= columns).all()
    assert ((height > 0) == (width > 0)).all()
    # A side that would be below one pixel is one.
    whole = (height > 1) & (width > 1)
    assert (height * width)[whole].le(area * rows * columns * (1 + 1e-5)).all()
    # Rounded down: the aspect before is between those of (h, w + 1) and (h + 1, w).
    tall = (height[whole] + 1) / rows / (width[whole] / columns)
    flat = height[whole] / rows / ((width[whole] + 1) / columns)
    assert (tall >= module.LOWEST_ASPECT * 0.999).all()
    assert (flat <= module.GREATEST_ASPECT * 1.001).all()
    if p in (0.0, 1.0):
        assert (~none).sum() == p * n


def test_rectangles_are_spread_as_promised():
    """On a huge image, where whole pixels do not matter."""
    n, side = 20_000, 100_000
    config = AugmentConfig(erase_p=0.5, erase_area=0.2)
    rectangles = erased_rectangles(config, n, (side, side), generator()).double()
    taken = rectangles[:, rectangles[2] > 0]
    m = taken.shape[1]
    assert abs(m / n - 0.5) < 5 * 0.5 / math.sqrt(n)
    top, left, height, width = taken
    area = height * width / side**2
    assert 0.0199 < area.min() < 0.021
    assert 0.199 < area.max() <= 0.2
    assert abs(area.mean() - 0.11) < 5 * 0.18 / math.sqrt(12 * m)
    # No narrowing at these areas: 1 / 0.2 is above the greatest aspect.
    aspect = torch.log(height / width)
    low, high = math.log(0.3), math.log(3.3)
    assert abs(aspect.mean() - (low + high) / 2) < 5 * (high - low) / math.sqrt(12 * m)
    assert abs(aspect.min() - low) < 0.01
    assert abs(aspect.max() - high) < 0.01
    for place, length in ((top, height), (left, width)):
        assert abs((place / (side - length)).mean() - 0.5) < 5 / math.sqrt(12 * m)


def test_rectangles_reach_all_edges_evenly():
    config = AugmentConfig(erase_p=1.0, erase_area=0.1)
    top, left, height, width = erased_rectangles(config, 20_000, (28, 28), generator())
    for place, length in ((top, height), (left, width)):
        # As likely at the far edge as at the near one: about 1 in 25.
        near, far = (place == 0).sum().item(), (place + length == 28).sum().item()
        assert min(near, far) > 600
        assert abs(near - far) < 5 * math.sqrt(near + far)


def test_large_areas_fit_without_being_drawn_again():
    config = AugmentConfig(erase_p=1.0, erase_area=1.0)
    rectangles = erased_rectangles(config, 5_000, (28, 28), generator())
    areas = rectangles[2] * rectangles[3] / 784
    assert areas.max() > 0.9
    assert abs(areas.mean() - 0.51) < 0.05  # rounded down: somewhat less


# All together


def test_order_of_the_changes(images):
    """Moved, then blurred, then erased: each by what is drawn for it, in this order."""
    ours = augment(images, EVERYTHING, generator())
    state, n = generator(), len(images)
    moves = AugmentConfig(**MAP, affine_p=0.7, elastic=2.0, elastic_sigma=3.0)
    expected = augment(images, moves, state)
    expected = blur(expected, blur_sigmas(EVERYTHING, n, state))
    expected = erase(expected, erased_rectangles(EVERYTHING, n, (28, 28), state))
    assert torch.equal(ours, expected)


def test_the_seed_decides(images):
    first = augment(images, EVERYTHING, generator())
    assert torch.equal(augment(images, EVERYTHING, generator()), first)
    assert not torch.equal(augment(images, EVERYTHING, generator(4)), first)


def test_input_and_global_generator_are_left_alone(images):
    before, state = images.clone(), torch.get_rng_state()
    augment(images, EVERYTHING, generator())
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


@settings(max_examples=60)
@given(
    config=st.builds(
        AugmentConfig,
        shift=st.floats(0, 0.5),
        rotate=st.floats(0, 180),
        scale=st.floats(0, 0.99),
        shear=st.floats(0, 45),
        affine_p=st.floats(0, 1),
        elastic=st.floats(0, 10),
        elastic_sigma=st.floats(0.01, 14),
        blur_p=st.floats(0, 1),
        blur_low=st.floats(0.001, 1),
        blur_high=st.floats(1, 10),
        erase_p=st.floats(0, 1),
        erase_area=st.floats(0.001, 1),
    ),
    n=st.integers(1, 9),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_setting_gives_images(config, n, seed):
    images = torch.rand(n, 1, 28, 28, generator=generator(seed)) * 255
    result = augment(images, config, generator(seed))
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()
    # Every change is a mean of pixels or 0, up to rounding.
    assert result.min() >= -1e-3
    assert result.max() <= 255.01
    ground = augment(torch.zeros(n, 1, 28, 28), config, generator(seed))
    assert torch.equal(ground, torch.zeros(n, 1, 28, 28))
