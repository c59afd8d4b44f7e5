"""What this machine gives to a study: CPU cores, the device, a folder that can be written."""

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from studies.planning import machine
from studies.planning.ray_settings import RaySettings
from studies.planning.settings import EngineSettings


@dataclass(frozen=True, kw_only=True)
class Place:
    """What there is to be shared out.

    Attributes:
        device: of a training, as its worker names it.
        cores: CPU cores.
        threads: CPU threads of a trial; 0: an equal share.
        gpus: GPUs that workers of this machine take in turn.
        by_memory: whether workers share GPUs by measured memory; on Ray each claims its share.
    """

    device: str
    cores: int
    threads: int
    gpus: tuple[str, ...] = ()
    by_memory: bool = False


def find(engine: EngineSettings, device: str, *, threads: int) -> Place:
    """Return where trials run.

    Args:
        engine: the settings.
        device: as asked for: auto, cpu, cuda …
        threads: of a trial, as asked for.

    Raises:
        ConfigError: this machine has not the device that is asked for.
    """
    if engine.name != "ray":
        found = machine.device(device)
        on_gpu = found != "cpu"
        gpus = machine.gpus(device) if on_gpu else ()
        return Place(
            device=found, cores=machine.cores(), threads=threads, gpus=gpus, by_memory=on_gpu
        )
    if not engine.ray.address:
        return Place(device=machine.device(device), cores=machine.cores(), threads=threads)
    # What the cluster has is known when it is joined; Ray shows each trial its own GPU, as the
    # first one.
    threads = threads or max(1, int(engine.ray.cpus))
    asks_for_gpu = device.startswith("cuda") or (device == "auto" and engine.ray.gpus > 0)
    return Place(
        device="cuda:0" if asks_for_gpu else "cpu",
        cores=threads * (engine.workers or machine.MOST_WORKERS),
        threads=threads,
    )


def claims(engine: EngineSettings, device: str) -> RaySettings:
    """Return the settings of Ray; a training on a GPU claims a whole one unless they say less."""
    if device == "cpu" or engine.ray.gpus:
        return engine.ray
    return engine.ray.model_copy(update={"gpus": 1.0})


def results_folder(setting: str) -> Path:
    """Return the absolute path of the folder that ``results.folder`` names.

    It is taken now: an objective may change the working directory while the study runs.

    Raises:
        ConfigError: it is none: models and states of trainings are files, replaced by renaming.
    """
    if "\0" in setting:
        raise ConfigError("results.folder: a path cannot hold a null byte")
    if "://" in setting:
        raise ConfigError(
            f"results.folder: {setting!r} is a URL; mount it (with engine ray on every node, in the"
            " same place), and name that folder"
        )
    return Path(setting).absolute()


MOST_WORKERS = 8
"""More trials at once make a sampler blind: it proposes before it has seen; threads do the rest."""

CUDA_PROCESS = 3 * 1024**3
"""Bytes of main memory of a process that uses a GPU: torch's libraries and CUDA's context take 2 to
3 GiB, before any data. Measured again when the first trial is over."""

DEVICE_KIND = "environment"
"""Of a study's fingerprint: ``cuda``. Absent on a CPU, and where it was not recorded yet."""


def cores(root: Path = Path("/")) -> int:
    """Return the number of CPU cores this process may use, at least 1.

    Counts the affinity mask (``taskset``) and, on Linux, the limit of the control group
    (containers, ``systemd``), which the mask does not show.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = _cgroup_cores(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def _cgroup_cores(root: Path) -> float | None:
    """Return the control group's CPU limit in cores, or None if there is none to be found."""
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
    """Resolve ``name`` (auto, cpu, cuda, cuda:N) to ``cpu`` or ``cuda:N``; imports torch if needed.

    Raises:
        ConfigError: a CUDA device that this machine does not have is asked for.
    """
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
    """Whether torch might find a GPU, told without its import, which takes more than a second."""
    if sys.platform != "linux":
        return True
    drivers = ["dev/kfd"]  # AMD's
    if environment.get("CUDA_VISIBLE_DEVICES", "0").strip() not in ("", "-1"):
        drivers += ["dev/nvidiactl", "dev/dxg"]  # NVIDIA's, the same within Windows (WSL)
    return any((root / driver).exists() for driver in drivers)


def share(
    *, available: int, workers: int, threads: int, tasks: int, on_gpu: bool
) -> tuple[int, int]:
    """Return worker processes and CPU threads a worker, so that workers * threads <= cores.

    Args:
        available: CPU cores.
        workers: as asked for; 0: chosen here. On a CPU one core each up to ``MOST_WORKERS``, as a
            small network gains little from a second thread; on a GPU one.
        threads: as asked for; 0: the cores are divided among the workers.
        tasks: trials there are; more workers would be idle.
        on_gpu: whether the training is on a GPU.

    Raises:
        ConfigError: more are asked for than there are cores.
    """
    if workers > available:
        raise ConfigError(
            f"engine.workers: {counted(workers, 'worker')} need {counted(workers, 'CPU core')},"
            " but this process may use"
            f" {available}; set it to {available} or less (0: chosen for this machine)"
        )
    if threads > available:
        raise ConfigError(
            f"engine.threads: {counted(threads, 'thread')} need {counted(threads, 'CPU core')},"
            " but this process may use"
            f" {available}; set it to {available} or less (0: chosen for this machine)"
        )
    if workers == 0:
        most = 1 if on_gpu else min(MOST_WORKERS, available // max(1, threads))
        workers = max(1, min(most, tasks))
    if threads == 0:
        threads = available // workers
    if workers * threads > available:
        raise ConfigError(
            f"engine: {counted(workers, 'worker')} with {counted(threads, 'thread')} each need"
            f" {workers * threads} CPU"
            f" cores, but this process may use {available}; lower engine.workers or engine.threads"
        )
    return workers, threads


def free_memory(root: Path = Path("/")) -> int:
    """Return the bytes of main memory that processes may still take.

    Counts the limit of the control group (containers), where there is one, too.
    """
    free = int(psutil.virtual_memory().available)
    group = root / "sys/fs/cgroup"
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            free = min(free, int((group / limit).read_text()) - int((group / used).read_text()))
    return max(0, free)


def share_gpus(
    *, available: int, threads: int, tasks: int, gpus: int, memory: int
) -> tuple[int, int, int]:
    """Return workers to begin with, CPU threads of each, and workers there may come to be.

    One worker a GPU begins; how many fit is known when the first trial is over.

    Args:
        available: CPU cores.
        threads: as asked for; 0: the cores are divided among as many workers as there may be.
        tasks: trials there are.
        gpus: how many there are, >= 1.
        memory: bytes of main memory that are free.
    """
    fit = memory // CUDA_PROCESS
    most = max(1, min(max(MOST_WORKERS, gpus), available // max(1, threads), tasks, fit))
    return min(gpus, most), threads or max(1, available // most), most


def gpus(name: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the GPUs that workers take in turn, each as a value of ``CUDA_VISIBLE_DEVICES``.

    None where there is no GPU, or where ``name`` is that of one (``cuda:1``).

    Args:
        name: auto, cpu, cuda or cuda:N, as asked for.
        environment: that of this process; it may show only some GPUs.
    """
    if not device(name).startswith("cuda") or ":" in name:
        return ()
    import torch

    count = torch.cuda.device_count()
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    named = [part.strip() for part in visible.split(",") if part.strip()]
    return tuple(named[:count]) if named else tuple(map(str, range(count)))
