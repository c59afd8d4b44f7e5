"""Checks of the machine: processors, memory, bf16, disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mnist_core.console.plain_text import counted
from mnist_core.data.host_memory import free_memory
from mnist_core.data.storage import cache_folder
from mnist_core.errors import ConfigError, UserError
from mnist_core.files import check_writable, from_here
from studies.cli.doctor.finding import Finding, note, ok, problem
from studies.planning import machine
from studies.planning.resources import MOST_WORKERS, share
from studies.planning.settings import EngineSettings

_GIB, _MIB = 2**30, 2**20
_LEAST_MEMORY = 2 * _GIB
"""A worker takes about half of this, most of it torch."""
_FULL, _SCARCE = 100 * _MIB, _GIB
"""Bytes of a disk: too few for a study; worth a note."""
_FEW_FILES = 1000


def processors(engine: EngineSettings, *, root: Path = Path("/")) -> Finding:
    """Return how many processors a study uses, of how many, and what limits it."""
    there, usable = os.cpu_count() or 1, machine.cores(root)
    on_ray = engine.name == "ray" and engine.ray.address
    try:
        workers, threads = share(
            available=usable,
            workers=0 if on_ray else 1 if engine.name == "fused" else engine.workers,
            threads=0 if on_ray else engine.threads,
            tasks=MOST_WORKERS,
            on_gpu=False,
        )
    except ConfigError as error:
        return problem("processors", str(error), "correct it in conf.toml", stops=True)
    plan = f"{counted(workers, 'worker')} of {counted(threads, 'thread')}"
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and 0 < int(asked[:9]) < usable:
        plan += f"; a single training uses {asked} (OMP_NUM_THREADS)"
    text = f"{usable} of {there} may be used"
    if usable < there:
        why, remedy = _limit(root, usable)
        return note("processors", f"{text} ({why}); a study on them starts {plan}", remedy)
    return ok("processors", f"{text}; a study on them starts {plan}")


def _limit(root: Path, usable: int) -> tuple[str, str]:
    """Return what keeps this process from processors, and what to do about it."""
    quota = machine.cgroup_cores(root)
    if quota is not None and max(1, int(quota)) == usable:
        return f"a limit of {quota:g} by the control group", "raise the container's CPU limit"
    return "the affinity mask", "taskset or the job's scheduler sets it"


def memory(engine: EngineSettings) -> Finding:
    """Return how much main memory is free."""
    free = free_memory()
    text = f"{free / _GIB:.1f} GiB free"
    if free < _LEAST_MEMORY:
        return note("memory", text, f"end other programs, or lower engine.workers ({_now(engine)})")
    return ok("memory", text)


def _now(engine: EngineSettings) -> str:
    return f"now {engine.workers}" if engine.workers else "now chosen for this machine"


def bf16(has: bool) -> Finding:
    """Return whether the CPU computes bf16."""
    if has:
        return ok("bf16", "the CPU has instructions for it; precision auto uses them")
    return ok("bf16", "the CPU has no instructions for it; precision auto is fp32 on the CPU")


def kernels(why_not: Mapping[str, str]) -> Finding:
    """Return whether trainings on the CPU are fast.

    ``why_not``: the parts of a training that machine code of our own can do, and for each why torch
    does it, or "".
    """
    left = {part: reason for part, reason in why_not.items() if reason}
    if not left:
        text = f"{', '.join(why_not)}: on the CPU by machine code of our own, results as torch's"
        return ok("kernels", text)
    # Names alone, because the module that knows them imports torch.
    remedies = {"MNIST_STUDIES_KERNELS": "unset it", "llvmlite": "pip install llvmlite"}
    reasons = "; ".join(dict.fromkeys(left.values()))
    remedy = next((remedies[name] for name in remedies if name in reasons), "")
    text = f"on the CPU torch does {', '.join(left)}: the same results, but slower: {reasons}"
    return note("kernels", text, remedy)


def disks(results: Path) -> Iterator[Finding]:
    """Yield whether files can be written, and how much room there is for them."""
    yield _disk("results", results, "set results.folder to another one")
    remedy = "set MNIST_STUDIES_CACHE to another folder"
    cache = _disk("cache", cache_folder().absolute(), remedy)
    # Only data sets that are downloaded need it.
    yield cache if not cache.stops else problem("cache", cache.text, cache.remedy)
    yield _temporary()


def _disk(subject: str, folder: Path, remedy: str) -> Finding:
    shown = from_here(folder)
    try:
        check_writable(folder, "the folder")
    except UserError as error:
        said = str(error).removesuffix("; choose another")
        return problem(subject, said, remedy, stops=True)
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    files = os.statvfs(there).f_favail if hasattr(os, "statvfs") else _FEW_FILES
    text = f"{shown}: {free / 1e9:.1f} GB free"
    if free < _FULL:
        return problem(subject, text, f"make room, or {remedy}", stops=True)
    # 0 of 0: a file system that does not count its files.
    if 0 < files < _FEW_FILES:
        return problem(subject, f"{shown}: room for {files} more files", f"make room, or {remedy}")
    if free < _SCARCE:
        return note(subject, text, f"make room, or {remedy}")
    return ok(subject, text if there == folder else f"{text} (the folder is made when needed)")


def _temporary() -> Finding:
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        return problem("temporary", str(error.strerror), "set TMPDIR to a folder", stops=True)
    return _disk("temporary", folder, "set TMPDIR to another folder")
