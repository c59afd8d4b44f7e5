"""Random changes of images, on the device, a whole batch at a time.

Each image has parameters of its own, from a generator of the training's seed. The order is: move
(affine map and elastic displacement, sampled once for both), blur, erase. A change that is switched
off does not use the generator.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from mnist_core.config import AugmentConfig

SMALLEST_AREA = 0.02
"""Least share of the image that is erased (Zhong 2020), if ``erase_area`` is not below it."""

LOWEST_ASPECT, GREATEST_ASPECT = 0.3, 3.3  # height by width of an erased rectangle


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Change every image by parameters of its own; pixels from outside are 0.

    Args:
        images: float32 ``[N, channels, rows, columns]``, 0 is the ground.
        config: the greatest changes and the shares of images that are changed.
        generator: of the same device as ``images``.

    Returns:
        float32 of the same shape, bilinear; ``images`` itself where nothing is switched on. An
        image that a change passes over stays as it is, bit by bit.
    """
    if config.affine or config.elastic:
        images = _move(images, config, generator)
    if config.blur_p:
        images = blur(images, blur_sigmas(config, len(images), generator))
    if config.erase_p:
        size = (images.shape[-2], images.shape[-1])
        images = erase(images, erased_rectangles(config, len(images), size, generator))
    return images


def prepare(config: AugmentConfig, size: tuple[int, int], device: torch.device) -> list[Tensor]:
    """Bring to ``device`` what ``augment`` needs there for images of ``size``; return it to hold.

    Otherwise the first batch would, and wait for a GPU.
    """
    sigma = config.elastic_sigma
    return [gaussian_matrix(side, sigma, device) for side in size] if config.elastic else []


def affine_matrices(config: AugmentConfig, n: int, generator: torch.Generator) -> Tensor:
    """Draw ``n`` maps from output to input coordinates, as ``affine_grid`` takes them.

    Each change is drawn uniformly between minus and plus the greatest one. The maps are float32
    ``[n, 2, 3]``, in ``affine_grid``'s coordinates: -1 to 1 across the image.
    """
    draws = torch.rand(5, n, generator=generator, device=generator.device) * 2 - 1
    angle = draws[0] * math.radians(config.rotate)
    scale = 1 + draws[1] * config.scale
    shear = torch.tan(draws[2] * math.radians(config.shear))
    # Half the image is 1 in these coordinates, so a shift by a share of the width is twice that.
    shift = draws[3:] * 2 * config.shift
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    return torch.stack(
        [
            torch.stack([cos, shear * cos - sin, shift[0]], dim=1),
            torch.stack([sin, shear * sin + cos, shift[1]], dim=1),
        ],
        dim=1,
    )


def displacements(
    config: AugmentConfig, n: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Draw ``n`` smooth fields of displacements (Simard 2003, "Best practices for CNNs").

    Both coordinates of every pixel are drawn uniformly, centred at 0, and smoothed by a Gaussian of
    ``elastic_sigma`` pixels. The field is then scaled so that its longest vector within the image
    is as long as a strength drawn for the image, uniformly between 0 and ``elastic`` pixels. (A
    sigma near the image's side leaves little but a shift by that strength.)

    Returns float32 ``[n, 2, rows, columns]``, pixels: how far right of, and how far below its place
    an output pixel is read.
    """
    device = generator.device
    strength = torch.rand(n, generator=generator, device=device) * config.elastic
    noise = _noise((n, 2, *size), generator)
    down, across = (gaussian_matrix(side, config.elastic_sigma, device) for side in size)
    fields = down @ (noise @ across.T)
    longest = fields.square().sum(dim=1).amax(dim=(1, 2)).sqrt()
    # Noise of zeros only would be divided by zero.
    factors = strength / longest.clamp_min(torch.finfo(longest.dtype).tiny)
    return fields * factors.view(n, 1, 1, 1)


@lru_cache(maxsize=8)  # a training asks for the same one at every step
def gaussian_matrix(n: int, sigma: float, device: torch.device) -> Tensor:
    """Return float32 ``[n, n]``: times a column of ``n`` pixels, it smooths them by a Gaussian.

    The Gaussian ends at four sigma, and the pixels are mirrored at both ends (without repeating the
    last), as often as it takes: ``scipy.ndimage.gaussian_filter1d(…, mode="mirror")``.
    """
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.softmax(-0.5 * (offsets.double() / sigma) ** 2, dim=0)
    period = max(1, 2 * (n - 1))
    places = (torch.arange(n).unsqueeze(1) + offsets) % period
    mirrored = torch.minimum(places, period - places) if n > 1 else places
    matrix = torch.zeros(n, n, dtype=torch.float64)
    matrix.scatter_add_(1, mirrored, weights.expand(n, -1))
    return matrix.to(device, torch.float32)


def sampling_grid(
    matrices: Tensor, rows: int, columns: int, displaced: Tensor | None = None
) -> Tensor:
    """Return where each output pixel is read, ``[N, rows, columns, 2]``, x before y.

    ``matrices`` are ``[N, 2, 3]``, as ``affine_matrices`` draws them; ``displaced`` is added after
    the map, in pixels ``[N, 2, rows, columns]``.
    """
    # The same as affine_grid(…, align_corners=False), which multiplies [784, 3] by [3, 2] for each
    # image and takes three times as long as the sampling itself.
    x = _centres(columns, matrices.device)
    y = _centres(rows, matrices.device).unsqueeze(1)
    by_x, by_y, start = matrices.unsqueeze(-1).unsqueeze(-1).unbind(dim=2)
    if displaced is not None:
        # The image is 2 wide, and 2 high, in these coordinates.
        pixels = (2 / columns, 2 / rows)
        moved = [torch.add(start[:, i], displaced[:, i], alpha=pixels[i]) for i in (0, 1)]
        start = torch.stack(moved, dim=1)
    # All x, then all y: grid_sample reads that as fast as pairs, which take longer to write.
    return torch.addcmul(torch.addcmul(start, by_x, x), by_y, y).permute(0, 2, 3, 1)


def blur_sigmas(config: AugmentConfig, n: int, generator: torch.Generator) -> Tensor:
    """Draw the sigma of each image's blur, pixels, float32 ``[n]``; 0 where it stays sharp."""
    chosen, place = torch.rand(2, n, generator=generator, device=generator.device)
    sigmas = config.blur_low + place * (config.blur_high - config.blur_low)
    return torch.where(chosen < config.blur_p, sigmas, 0.0)


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each image by a 3x3 Gaussian of its own; the pixels beyond the edge are mirrored.

    ``images`` are ``[N, C, rows, columns]``, at least 2x2; ``sigmas`` pixels ``[N]``.
    """
    beside = torch.exp(-0.5 / sigmas.square())  # 0 for a sigma of 0
    weights = (beside / (1 + 2 * beside)).view(-1, 1, 1, 1)
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    # Centre plus weight times (neighbours less twice the centre): no change where the weight is 0.
    middle = padded[..., 1:-1, :]
    bend = torch.sub(padded[..., :-2, :] + padded[..., 2:, :], middle, alpha=2)
    down = torch.addcmul(middle, weights, bend)
    middle = down[..., 1:-1]
    bend = torch.sub(down[..., :-2] + down[..., 2:], middle, alpha=2)
    return torch.addcmul(middle, weights, bend)


def erased_rectangles(
    config: AugmentConfig, n: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Draw the rectangle that each image loses (Zhong 2020, "Random Erasing").

    Its area, a fraction of the image's, is uniform between ``SMALLEST_AREA`` and ``erase_area``;
    the logarithm of its aspect (height by width, each as a fraction of the image's side) is uniform
    between the two limits, narrowed to what fits into the image; its place is uniform.

    Returns int64 ``[4, n]``: top, left, height, width in pixels, rounded down to at least 1; all 0
    where nothing is erased.
    """
    draws = torch.rand(5, n, generator=generator, device=generator.device)
    least = min(SMALLEST_AREA, config.erase_area)
    area = least + draws[1] * (config.erase_area - least)
    # A height of sqrt(area * aspect) is at most 1 where aspect is at most 1 / area; and the width.
    fits = -torch.log(area)
    low = torch.clamp(-fits, min=math.log(LOWEST_ASPECT))
    high = torch.clamp(fits, max=math.log(GREATEST_ASPECT))
    aspect = torch.exp(low + draws[2] * (high - low))
    heights = _whole(torch.sqrt(area * aspect) * size[0], 1, size[0])
    widths = _whole(torch.sqrt(area / aspect) * size[1], 1, size[1])
    tops = _whole(draws[3] * (size[0] - heights + 1), 0, size[0] - 1)
    lefts = _whole(draws[4] * (size[1] - widths + 1), 0, size[1] - 1)
    return torch.stack([tops, lefts, heights, widths]) * (draws[0] < config.erase_p)


def erase(images: Tensor, rectangles: Tensor) -> Tensor:
    """Set each image's rectangle to 0: of ``[N, C, rows, columns]``, by int64 ``[4, N]``."""
    tops, lefts, heights, widths = rectangles.unsqueeze(-1)
    y = torch.arange(images.shape[-2], device=images.device)
    x = torch.arange(images.shape[-1], device=images.device)
    within_rows = (y >= tops) & (y < tops + heights)
    within_columns = (x >= lefts) & (x < lefts + widths)
    inside = within_rows.unsqueeze(-1) & within_columns.unsqueeze(-2)
    return images.masked_fill(inside.unsqueeze(1), 0.0)


def _move(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Sample every image where its map and its displacements lead."""
    n, _, rows, columns = images.shape
    device = images.device
    mapped: Tensor | None = None  # which images are; None: all
    if config.affine:
        matrices = affine_matrices(config, n, generator)
        if config.affine_p < 1:
            mapped = torch.rand(n, generator=generator, device=device) < config.affine_p
            matrices = torch.where(mapped.view(n, 1, 1), matrices, torch.eye(2, 3, device=device))
    else:
        matrices = torch.eye(2, 3, device=device).expand(n, 2, 3)
    displaced = displacements(config, n, (rows, columns), generator) if config.elastic else None
    grid = sampling_grid(matrices, rows, columns, displaced)
    moved = functional.grid_sample(images, grid, align_corners=False)
    if mapped is not None and displaced is None:
        # Sampling at the pixels' own places rounds; those passed over are to be exact.
        moved = torch.where(mapped.view(n, 1, 1, 1), moved, images)
    return moved


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw numbers uniformly between -32,768 and 32,767, float32."""
    # 16 random bits a value, not the 32 of torch.rand, which took as long as all else here.
    n = math.prod(shape)
    words = torch.empty(-(-n // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[:n].view(shape).float()


def _whole(values: Tensor, low: int, high: int) -> Tensor:
    return values.floor().long().clamp(low, high)


def _centres(n: int, device: torch.device) -> Tensor:
    """Return the centres of ``n`` pixels on the scale of -1 to 1."""
    return (torch.arange(n, device=device, dtype=torch.float32) * 2 + 1) / n - 1
