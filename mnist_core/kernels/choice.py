"""Whether machine code of our own may compute, or torch does.

``MNIST_STUDIES_KERNELS=torch`` in the environment leaves everything to torch.
"""

import os

import torch

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
