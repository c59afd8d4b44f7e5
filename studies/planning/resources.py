"""How a study shares a machine or cluster: workers, CPU threads, GPUs."""

from dataclasses import dataclass, replace

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from studies.planning import machine
from studies.planning.ray_settings import RaySettings
from studies.planning.settings import EngineSettings

MOST_WORKERS = 8
"""More trials at once make a sampler blind: it proposes before it has seen; threads do the rest."""

CUDA_PROCESS = 3 * 1024**3
"""Bytes of main memory of a process that uses a GPU: torch's libraries and CUDA's context take 2 to
3 GiB, before any data. Measured again when the first trial has finished."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What the trials of a study get."""

    device: str  # of a training, as its worker names it
    workers: int  # worker processes
    threads: int  # CPU threads a worker
    # most workers once the memory of a trial is known; 0: as many as ``workers``
    most_workers: int = 0
    gpus: tuple[str, ...] = ()  # GPUs that workers take in turn, see ``machine.gpus``


def share_out(engine: EngineSettings, device: str, *, threads: int, tasks: int) -> Share:
    """Return what the trials get; raise ConfigError if this machine lacks the device or cores."""
    if engine.name == "fused":
        return _in_one_process(engine, device, threads=threads, tasks=tasks)
    on_cluster = engine.name == "ray" and engine.ray.address != ""
    if on_cluster:
        # Ray shows each trial its own GPU as the first one. What the cluster has is known later.
        asks_for_gpu = device.startswith("cuda") or (device == "auto" and engine.ray.gpus > 0)
        found = "cuda:0" if asks_for_gpu else "cpu"
        threads = threads or max(1, int(engine.ray.cpus))
        cores = threads * (engine.workers or MOST_WORKERS)
    else:
        found, cores = machine.device(device), machine.cores()
    # Workers share GPUs by measured memory; on Ray each trial claims its part.
    by_memory = engine.name != "ray" and found != "cpu"
    gpus = machine.gpus(device) if by_memory else ()
    workers, each = share(
        available=cores, workers=engine.workers, threads=threads, tasks=tasks, on_gpu=by_memory
    )
    if not by_memory or engine.workers:
        return Share(device=found, workers=workers, threads=each, gpus=gpus)
    workers, each, most = share_gpus(
        available=cores,
        threads=threads,
        tasks=tasks,
        gpus=max(1, len(gpus)),
        memory=machine.free_memory(),
    )
    return Share(device=found, workers=workers, threads=each, most_workers=most, gpus=gpus)


def _in_one_process(engine: EngineSettings, device: str, *, threads: int, tasks: int) -> Share:
    """Return what the trials get that train together in one process, with all its threads."""
    if engine.trial_memory_gib:
        raise ConfigError(
            "engine.trial_memory_gib: the trials of the engine fused share one process, whose"
            f" memory is not that of a trial, but got {engine.trial_memory_gib:g}; set it to 0, or"
            " take engine.name=local"
        )
    _, threads = share(
        available=machine.cores(), workers=1, threads=threads, tasks=tasks, on_gpu=False
    )
    workers = engine.workers or min(MOST_WORKERS, max(1, tasks))
    return Share(device=machine.device(device), workers=workers, threads=threads)


def share_out_own(engine: EngineSettings, *, threads: int, tasks: int) -> Share:
    """Return what the trials of the user's own objective get; ConfigError: as ``share_out``.

    Nothing is known of how much of a GPU they use, so the number of workers is that of a CPU. Each
    worker sees one GPU, which they take in turn, as those of trainings do.
    """
    if engine.name == "fused":
        raise ConfigError(
            "engine.name: fused shares the steps of the trainer's models, but the objective of this"
            " study is its own; take engine.name=local"
        )
    found = share_out(engine, "cpu", threads=threads, tasks=tasks)
    # Ray itself shows a trial the GPUs that it claims.
    return found if engine.name == "ray" else replace(found, gpus=machine.gpus("auto"))


def claims(engine: EngineSettings, device: str) -> RaySettings:
    """Return the settings of Ray; a training on a GPU claims a whole one by default."""
    if device == "cpu" or engine.ray.gpus:
        return engine.ray
    return engine.ray.model_copy(update={"gpus": 1.0})


def share(
    *, available: int, workers: int, threads: int, tasks: int, on_gpu: bool
) -> tuple[int, int]:
    """Return worker processes and CPU threads a worker, so that workers * threads <= cores.

    Args:
        available: CPU cores.
        workers: the setting; 0: chosen here.
        threads: the setting; 0: the cores are divided among the workers.
        tasks: number of trials; more workers would be idle.
        on_gpu: whether trials train on a GPU.

    Raises:
        ConfigError: if the settings need more cores than there are.
    """
    for setting, asked, what in (
        ("engine.workers", workers, counted(workers, "worker")),
        ("engine.threads", threads, counted(threads, "thread")),
    ):
        if asked > available:
            raise ConfigError(
                f"{setting}: {what} need {counted(asked, 'CPU core')}, but this process may use"
                f" {available}; set it to {available} or less (0: chosen for this machine)"
            )
    if workers == 0:
        # On a CPU one core each, as a small network gains little from a second thread.
        most = 1 if on_gpu else min(MOST_WORKERS, available // max(1, threads))
        workers = max(1, min(most, tasks))
    if threads == 0:
        threads = available // workers
    if workers * threads > available:
        raise ConfigError(
            f"engine: {counted(workers, 'worker')} with {counted(threads, 'thread')} each need"
            f" {workers * threads} CPU cores, but this process may use {available};"
            " lower engine.workers or engine.threads"
        )
    return workers, threads


def share_gpus(
    *, available: int, threads: int, tasks: int, gpus: int, memory: int
) -> tuple[int, int, int]:
    """Return the workers to start with, CPU threads of each, and the most workers later.

    ``memory`` is in bytes of free main memory; for the other arguments see ``share``.
    """
    # One worker a GPU starts; how many fit is known when the first trial has finished.
    fit = memory // CUDA_PROCESS
    most = max(1, min(max(MOST_WORKERS, gpus), available // max(1, threads), tasks, fit))
    return min(gpus, most), threads or max(1, available // most), most
