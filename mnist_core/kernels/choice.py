"""Whether machine code of our own may compute, or torch does.

``MNIST_STUDIES_KERNELS=torch`` in the environment leaves everything to torch.
"""

import os
from collections.abc import Callable

import torch
from torch import Tensor

from mnist_core.errors import ConfigError
from mnist_core.kernels import torch_parts

VARIABLE = "MNIST_STUDIES_KERNELS"
_THREADS_OF_TORCH = 2
"""With more than these, torch is faster than a kernel that does not find torch's threads."""


def setting() -> str:
    """Return ``auto`` or ``torch``; raise ConfigError if the environment says something else."""
    value = os.environ.get(VARIABLE, "") or "auto"
    if value not in ("auto", "torch"):
        raise ConfigError(
            f"{VARIABLE}: must be auto (our own machine code, where it can be used) or torch,"
            f" but got {value!r}"
        )
    return value


def why_torch() -> str:
    """Return why torch computes everything on a CPU; "": it does not have to."""
    if setting() == "torch":
        return f"{VARIABLE} is torch"
    if torch.get_num_threads() > _THREADS_OF_TORCH and torch_parts.openmp() is None:
        return "torch's threads were not found (OpenMP)"
    return ""


def fault(agrees: Callable[[], bool]) -> str:
    """Return why kernels cannot be made, or that ``agrees`` finds they differ from torch; or ""."""
    try:
        return "" if agrees() else "it would compute something else than this torch"
    except ImportError as error:
        return f"llvmlite cannot be imported ({error})"
    except (OSError, RuntimeError) as error:
        return f"LLVM: {error}"


def same(a: Tensor, b: Tensor) -> bool:
    """Return whether all numbers are equal; NaN equals NaN, whatever its bits."""
    return bool(((a == b) | (a.isnan() & b.isnan())).all())
