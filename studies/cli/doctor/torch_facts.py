"""What torch says of this machine, and whether its GPUs compute what the CPU computes."""

import time
import warnings
from typing import Any

from mnist_core.device.device_errors import first_line

TOLERANCE = 1e-2
"""Largest difference of two results that are the same, relative to the largest value; tf32, which
cuDNN may use, makes about 1e-3."""

_SECONDS = 3.0
"""No further GPU is tried after that; each first use of one takes half a second or more."""


def facts_of(torch: Any) -> dict[str, Any]:
    """Return the facts that ``gpu.py`` judges; ``torch`` is the module, or a test's stand-in."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = bool(torch.cuda.is_available())
        count = int(torch.cuda.device_count()) if available else 0
        said = [] if available else _refusal(torch)
    said += [str(one.message).strip() for one in caught]
    gpus: list[dict[str, Any]] = []
    start = time.monotonic()
    for index in range(count):
        if index and time.monotonic() - start > _SECONDS:
            break
        gpus.append(_gpu(torch, index))
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "available": available,
        "said": " ".join(said),
        "count": count,
        "gpus": gpus,
        "bf16": _bf16(),
    }


def _refusal(torch: Any) -> list[str]:
    """Return why torch does not use a GPU, in its own words."""
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError, OSError) as error:
        return [str(error).strip()]
    return []


def _bf16() -> bool:
    from mnist_core.device.torch_internals import cpu_has_bf16

    return cpu_has_bf16()


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": f"GPU {index}", "failed": "", "difference": None}
    try:
        found["name"] = str(torch.cuda.get_device_name(index))
        found["capability"] = "sm_{}{}".format(*torch.cuda.get_device_capability(index))
        found["built"] = list(torch.cuda.get_arch_list())
        found["free"], found["total"] = torch.cuda.mem_get_info(index)
        found["difference"] = largest_difference(torch, f"cuda:{index}")
    except (RuntimeError, AssertionError, OSError) as error:  # torch's own are RuntimeErrors
        found["failed"] = first_line(error)
    return found


def largest_difference(torch: Any, device: str) -> float:
    """Return how far a product and a convolution on ``device`` are from the CPU's in float64.

    It is relative to the largest value of each.
    """
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(256, 256, generator=generator)
    images = torch.randn(8, 4, 28, 28, generator=generator)
    kernels = torch.randn(8, 4, 3, 3, generator=generator)
    there = torch.as_tensor(matrix, device=device)
    convolved = torch.nn.functional.conv2d(
        torch.as_tensor(images, device=device), torch.as_tensor(kernels, device=device)
    )
    wide = matrix.double()
    pairs = (
        (there @ there, wide @ wide),
        (convolved, torch.nn.functional.conv2d(images.double(), kernels.double())),
    )
    differences = [
        float((came.cpu().double() - exact).abs().max() / exact.abs().max())
        for came, exact in pairs
    ]
    # max() would drop a nan that does not come first.
    return next((one for one in differences if one != one), max(differences))
