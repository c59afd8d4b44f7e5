"""What this machine has: CPU cores, memory, GPUs."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mnist_core.data.host_memory import free_memory as free_memory
from mnist_core.errors import ConfigError


def cores(root: Path = Path("/")) -> int:
    """Return the number of CPU cores this process may use, at least 1."""
    # The affinity mask (taskset) does not show the limit of the control group (containers).
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = cgroup_cores(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def cgroup_cores(root: Path) -> float | None:
    """Return the control group's CPU limit in cores; None: no limit is found."""
    group = root / "sys/fs/cgroup"
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu/cpu.cfs_quota_us").read_text()
            period = (group / "cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        limit = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return limit if limit > 0 else None


def device(name: str) -> str:
    """Resolve ``name`` to ``cpu`` or ``cuda:N``; raise ConfigError if this machine lacks it."""
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if count else "cpu"
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        has = f"this machine has {count}" if count else "torch finds no CUDA device here"
        raise ConfigError(f"device: {name!r} is asked for, but {has}; set device to auto or cpu")
    return f"cuda:{index}"


def may_have_gpu(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether torch might find a GPU, without its import, which takes more than a second."""
    if sys.platform != "linux":
        return True
    drivers = ["dev/kfd"]  # AMD's
    if environment.get("CUDA_VISIBLE_DEVICES", "0").strip() not in ("", "-1"):
        drivers += ["dev/nvidiactl", "dev/dxg"]  # NVIDIA's, the same within Windows (WSL)
    return any((root / driver).exists() for driver in drivers)


def gpus(name: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the GPUs that workers take in turn, each as a value of ``CUDA_VISIBLE_DEVICES``.

    Empty where there is no GPU, or where ``name``, the setting, names a single one (``cuda:1``).
    """
    if not device(name).startswith("cuda") or ":" in name:
        return ()
    import torch

    count = torch.cuda.device_count()
    # The environment may show only some GPUs.
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    named = [part.strip() for part in visible.split(",") if part.strip()]
    return tuple(named[:count]) if named else tuple(map(str, range(count)))
