"""How much memory a training needed at most."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import
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
