"""The machine that is measured, in a few words."""

import importlib
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import measure


@dataclass(frozen=True)
class Machine:
    """What the parts run on.

    Attributes:
        device: as the trainer takes it.
        name: of the device.
        text: hardware and versions, one line.
    """

    device: str
    name: str
    text: str

    @property
    def on_gpu(self) -> bool:
        """Whether that is a GPU."""
        return self.device != "cpu"


def look(*, use_gpu: bool) -> Machine:
    """Return the first GPU if there is one and it is wanted, else the processor."""
    torch = importlib.import_module("torch")
    if use_gpu and torch.cuda.is_available():
        device, name = "cuda:0", torch.cuda.get_device_name(0)
        about = f"CUDA {torch.version.cuda}, driver {_driver()}"
    else:
        device, name, about = "cpu", measure.cpu_name(), "no GPU"
    text = (
        f"{name}; {about}; {os.cpu_count()} processors; {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, torch {_version('torch')}, "
        f"optuna {_version('optuna')}; commit {measure.commit()}"
    )
    return Machine(device, name, text)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip().splitlines()[0]
