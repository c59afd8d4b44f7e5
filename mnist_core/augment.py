"""Random changes of images, on the device, a whole batch at a time.

Each image gets an affine map of its own (rotation, scale, shear, shift), drawn from a generator of
the training's seed, so the augmented stream depends on nothing else.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from mnist_core.config import AugmentConfig


def affine_matrices(config: AugmentConfig, n: int, generator: torch.Generator) -> Tensor:
    """Draw ``n`` maps from output to input coordinates, as ``affine_grid`` takes them.

    Args:
        config: the greatest changes; each is drawn uniformly between minus and plus that much.
        n: number of maps.
        generator: where the randomness comes from; its device is the result's.

    Returns:
        float32 ``[n, 2, 3]``, in ``affine_grid``'s coordinates: -1 to 1 across the image.
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


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Change every image by a map of its own; what comes in from outside is 0.

    Args:
        images: float32 ``[N, 1, rows, columns]``, 0 is the ground.
        config: the greatest changes.
        generator: of the same device as ``images``.

    Returns:
        float32 of the same shape, bilinear.
    """
    grid = sampling_grid(affine_matrices(config, len(images), generator), *images.shape[-2:])
    return functional.grid_sample(images, grid, align_corners=False)


def sampling_grid(matrices: Tensor, rows: int, columns: int) -> Tensor:
    """Return where each output pixel is read, ``[N, rows, columns, 2]``, x before y.

    The same as ``affine_grid(…, align_corners=False)``, which multiplies [784, 3] by [3, 2] for
    each image and takes three times as long as the sampling itself.
    """
    x = _centres(columns, matrices.device)
    y = _centres(rows, matrices.device).unsqueeze(1)
    terms = matrices.unsqueeze(-1).unsqueeze(-1)
    coordinates = [
        torch.addcmul(torch.addcmul(terms[:, i, 2], terms[:, i, 0], x), terms[:, i, 1], y)
        for i in (0, 1)
    ]
    return torch.stack(coordinates, dim=-1)


def _centres(n: int, device: torch.device) -> Tensor:
    """Return the centres of ``n`` pixels on the scale of -1 to 1."""
    return (torch.arange(n, device=device, dtype=torch.float32) * 2 + 1) / n - 1
