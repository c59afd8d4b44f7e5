"""How much memory a training needed at most, and how much is free."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # torch takes seconds to import, and a study's plan asks only what is free
    import torch


def reset_peak(device: "torch.device") -> None:
    """Start measuring again, where the system can: on CUDA and on Linux."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak resident set


def peak(device: "torch.device") -> int:
    """Return the peak since ``reset_peak`` in bytes.

    On CUDA what torch's allocator had handed out; on a CPU the resident set of the whole process,
    libraries and data included, elsewhere than on Linux since the process began.
    """
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource  # only on POSIX

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(root: Path = Path("/")) -> int:
    """Return how many bytes of main memory processes may still take, without swapping."""
    free = int(psutil.virtual_memory().available)
    group = root / "sys/fs/cgroup"  # a container's control group may leave less
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # no such group; "max": no limit
            free = min(free, int((group / limit).read_text()) - int((group / used).read_text()))
    return max(0, free)
