"""Where a plan's trials run: this machine, or a cluster not yet seen; and where results go."""

from dataclasses import dataclass
from pathlib import Path

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
