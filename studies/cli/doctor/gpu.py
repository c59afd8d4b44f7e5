"""Whether the GPU is used, and if not, why."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.console.plain_text import counted
from studies.cli.doctor.finding import Finding, note, ok, problem
from studies.cli.doctor.torch_facts import TOLERANCE

_NVIDIA = "0x10de"  # its number on the PCI bus
_DISPLAY = ("0x03", "0x12")  # classes of devices: display, accelerator
_GIB = 2**30
_BUILDS = "install a build of torch with CUDA: https://pytorch.org/get-started"
_HIDDEN = ("", "-1", "NoDevFiles")
_UNHIDE = "unset CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Signs:
    """What the system says of GPUs, without torch.

    Attributes:
        nvidia: whether a GPU of NVIDIA's is in the machine, or a driver of it is there.
        amd: whether a driver of AMD's is there.
        driver: version of NVIDIA's driver; "": it is not loaded, or does not say.
        loaded: whether the driver has made its device files.
        locked: a device file that this user may not open; "": none.
        visible: the value of ``CUDA_VISIBLE_DEVICES``; None: it is not set.
    """

    nvidia: bool = False
    amd: bool = False
    driver: str = ""
    loaded: bool = False
    locked: str = ""
    visible: str | None = None


def signs(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Signs:
    """Return what the system below ``root`` says of GPUs."""
    files = [root / "dev/nvidiactl", *sorted((root / "dev").glob("nvidia[0-9]*")), root / "dev/dxg"]
    there = [file for file in files if file.exists()]
    locked = next((str(one) for one in there if not os.access(one, os.R_OK | os.W_OK)), "")
    return Signs(
        nvidia=bool(there) or _on_the_bus(root),
        amd=(root / "dev/kfd").exists(),
        driver=_driver(root),
        loaded=bool(there),
        locked=locked,
        visible=environment.get("CUDA_VISIBLE_DEVICES"),
    )


def gpu_finding(facts: Mapping[str, Any], found: Signs, *, device: str) -> Finding:
    """Return whether the GPU is used; ``device`` is the setting ``train.device``."""
    wanted = device.startswith("cuda")
    if facts["available"]:
        return _used(facts, found, device)
    if reason := _why_not(facts, found):
        text, remedy = reason
        if remedy == _UNHIDE and not wanted:  # perhaps hidden on purpose
            return note("gpu", text, remedy)
        return problem("gpu", f"not used: {text}", remedy, stops=wanted)
    if wanted:
        text = f"train.device is {device}, but no GPU is found in this machine"
        return problem("gpu", text, "set train.device to auto or cpu", stops=True)
    if sys.platform == "darwin":
        return ok("gpu", "none that this program uses (CUDA): studies run on the processors")
    return ok("gpu", "none in this machine: studies run on the processors")


def _used(facts: Mapping[str, Any], found: Signs, device: str) -> Finding:
    gpus = facts["gpus"]
    for index, gpu in enumerate(gpus):
        if said := _wrong(gpu, facts):
            # `auto` takes the GPU as well, so its trials would fail.
            text, remedy = said
            text = f"cuda:{index} ({gpu['name']}) {text}"
            return problem("gpu", text, remedy, stops=device != "cpu")
    asked = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and asked >= facts["count"]:
        text = f"train.device is {device}, but torch sees {counted(facts['count'], 'GPU')}"
        return problem("gpu", text, "set train.device to auto, or to cuda:0", stops=True)
    names = ", ".join(dict.fromkeys(gpu["name"] for gpu in gpus))
    more = "" if len(gpus) == facts["count"] else f" (the first {len(gpus)} were tried)"
    largest = max(gpu["difference"] for gpu in gpus)
    text = (
        f"{counted(facts['count'], 'GPU')}{more}: {names}; a product and a convolution agree with"
        f" the CPU's to {largest:.0e}"
    )
    if device == "cpu":
        return note("gpu", f"{text}, but train.device is cpu", "set train.device to auto to use it")
    if full := [n for n, gpu in enumerate(gpus) if gpu["free"] < _GIB]:
        used = ", ".join(f"cuda:{n}" for n in full)
        remedy = "see nvidia-smi for what uses it"
        return note("gpu", f"{text}, but less than 1 GiB of {used} is free", remedy)
    return ok("gpu", text)


def _wrong(gpu: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with a GPU that torch sees, and the remedy."""
    failed = gpu["failed"]
    if "kernel image" in failed or "no kernel" in failed:
        built = ", ".join(gpu.get("built", ())) or "none"
        text = f"is {gpu.get('capability', '')}, for which torch {facts['version']} has no code"
        return f"{text} (it has {built})", _BUILDS
    if "out of memory" in failed:
        return "has no memory left", "end the programs that nvidia-smi lists"
    if "busy or unavailable" in failed:
        return "is taken by another program", "end it, or see the compute mode in nvidia-smi"
    if failed:
        return f"fails: {failed}", "see nvidia-smi; restart the machine if it lasts"
    if not gpu["difference"] <= TOLERANCE:
        text = f"computes wrongly: a product is off by {gpu['difference']:.1g} of its size"
        return text, "do not trust results of it; set train.device to cpu"
    return None


def _why_not(facts: Mapping[str, Any], found: Signs) -> tuple[str, str] | None:
    """Return why torch does not use a GPU that is there, and the remedy; None: there is none."""
    if not (found.nvidia or found.amd):
        return None
    if found.visible is not None and found.visible.strip() in _HIDDEN:
        text = f"CUDA_VISIBLE_DEVICES is '{found.visible}', which hides every GPU"
        return text, _UNHIDE
    if not (facts["cuda"] or facts["hip"]):
        return f"torch {facts['version']} is built for the CPU alone", _BUILDS
    if not found.nvidia:
        built = f"torch {facts['version']} is built for NVIDIA, and this GPU is AMD's"
        if facts["hip"]:
            return f"torch says: {facts['said'] or 'nothing'}", "see rocminfo"
        return built, "install a build of torch with ROCm: https://pytorch.org/get-started"
    return _driver_fault(facts, found)


def _driver_fault(facts: Mapping[str, Any], found: Signs) -> tuple[str, str]:
    said = facts["said"]
    if not found.loaded:
        text = "a GPU of NVIDIA's is in this machine, but its driver is not loaded"
        return text, "install NVIDIA's driver; a container is started with --gpus all"
    if found.locked:
        return f"this user may not open {found.locked}", "join the group that owns it (video)"
    if "too old" in said:
        text = f"the driver {found.driver}".rstrip() + f" is too old for CUDA {facts['cuda']}"
        return text, "update NVIDIA's driver, or install a build of torch for an older CUDA"
    if "version mismatch" in said or "system has unsupported display driver" in said:
        return "the driver was updated while it was loaded", "restart the machine"
    if found.visible is not None:
        text = f"CUDA_VISIBLE_DEVICES is '{found.visible}', and no such GPU is found"
        return text, "unset CUDA_VISIBLE_DEVICES, or name GPUs that nvidia-smi lists"
    if "No CUDA GPUs are available" in said or not said:
        return "the driver shows no GPU", "see nvidia-smi; a container is started with --gpus all"
    return f"torch says: {said[:200]}", "see nvidia-smi; restart the machine if it lasts"


def _on_the_bus(root: Path) -> bool:
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor = (device / "vendor").read_text().strip()
            kind = (device / "class").read_text().strip()
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith(_DISPLAY):
            return True
    return False


def _driver(root: Path) -> str:
    try:
        text = (root / "proc/driver/nvidia/version").read_text()
    except OSError:
        return ""
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
    return found[1] if found else ""
