"""What the benchmarks share: fresh processes, interleaving, medians, tables, the record."""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "RESULTS.md"
HISTORY = HERE / "history"
DATA = {"10pct": "mnist-10pct", "full": "mnist"}
"""What ``--data`` may be, and the data set's name in this project."""

PATIENCE, DISTURBED, ATTEMPTS = 30.0, 0.06, 3
"""Seconds to wait for a quiet machine; share of the processors others may take; runs at most."""

Result = dict[str, Any]
"""What a program under ``ours/`` or ``peers/`` came to."""

# The programs run without an installation, too.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing.

    Attributes:
        values: in the order of their measurement.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def mean(self) -> float:
        """The mean."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation of the sample; 0 for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def range(self, digits: int = 0) -> str:
        """Return smallest and largest value."""
        return f"{min(self.values):,.{digits}f}..{max(self.values):,.{digits}f}"


def run_undisturbed(script: str, arguments: Sequence[object], **options: Any) -> Result:
    """Run a program as ``run_program`` does, when and if nobody else uses the machine.

    It waits for a quiet moment, at most ``PATIENCE`` seconds. If others took more than
    ``DISTURBED`` of the processors meanwhile, it runs the program again, ``ATTEMPTS`` times in all,
    and returns the least disturbed run. What is kept depends on the others' load alone, never on
    the result.
    """
    best: Result | None = None
    for _ in range(ATTEMPTS):
        wait_for_quiet()
        result = run_program(script, arguments, **options)
        if best is None or result["others"] < best["others"]:
            best = result
        if best["others"] <= DISTURBED:
            break
    assert best is not None
    return best


def wait_for_quiet() -> None:
    """Wait until others use no more than ``DISTURBED`` of the processors, or patience ends."""
    end = time.monotonic() + PATIENCE
    while psutil.cpu_percent(interval=0.7) > 100 * DISTURBED and time.monotonic() < end:
        pass


def run_program(script: str, arguments: Sequence[object], *, folder: Path | None = None) -> Result:
    """Run a program of this folder in a fresh process.

    Its environment is this process's without settings of thread counts and allocators.

    Args:
        script: path below ``benchmarks/``.
        arguments: of its command line.
        folder: working directory, the repository by default.

    Returns:
        The JSON object in the last line of its output, with these entries added: ``wall``, seconds
        from before the process was started until it was gone; ``began``, the time.monotonic() of
        that start; ``ended``, of that end; ``others``, the share of all processors' time that other
        programs took meanwhile.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_NUM_THREADS") and name not in ("LD_PRELOAD", "KMP_AFFINITY")
    }
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    busy, own = _busy_seconds(), children_seconds()
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=folder or ROOT, env=environment, capture_output=True, text=True, check=False
    )
    ended = time.monotonic()
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed:\n{done.stderr[-3000:]}")
    used = (_busy_seconds() - busy) - (children_seconds() - own)
    others = max(0.0, used / (ended - began) / (psutil.cpu_count() or 1))
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return {
        **result,
        "wall": ended - began,
        "began": began,
        "ended": ended,
        "others": others,
    }


def interleave(
    forms: Mapping[str, Callable[[int], dict[str, Any]]],
    repeats: int,
    *,
    say: Callable[[str], None],
) -> dict[str, list[dict[str, Any]]]:
    """Run every form ``repeats`` times, in turns, so that a noisy minute hits all of them.

    Args:
        forms: by name; each gets the number of the repeat, from 0.
        repeats: times.
        say: told what comes next.
    """
    results: dict[str, list[Result]] = {name: [] for name in forms}
    names = list(forms)
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            say(f"repeat {repeat + 1}/{repeats}: {name}")
            results[name].append(forms[name](repeat))
    return results


def torchvision_root(data: str, folder: Path, data_root: str = "") -> Path:
    """Write a data set's training and validation images as ``torchvision.datasets.MNIST`` has them.

    The validation images take the place of the test images. So a script that knows only torchvision
    sees exactly the images that this project trains and validates on; no test image is used.

    Args:
        data: the data set's name.
        folder: where to; it becomes torchvision's ``root``.
        data_root: the folder of the data set's files, if they are not embedded or in the cache.
    """
    from mnist_core.data import idx, registry, splits, storage

    data_set = registry.by_name(data)
    source = storage.folder_of(data_set, data_root)
    images = storage.read_verified(data_set, data_set.train_images, source).images()
    labels = storage.read_verified(data_set, data_set.train_labels, source).labels()
    indices = splits.stratified(labels, 0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, chosen in (("train", indices.train), ("t10k", indices.validation)):
        idx.write_images(raw / f"{name}-images-idx3-ubyte", images[chosen])
        idx.write_labels(raw / f"{name}-labels-idx1-ubyte", labels[chosen])
    return folder


def count_images(root: Path) -> int:
    """Return how many training images ``torchvision_root`` has written."""
    from mnist_core.data import idx

    return len(idx.read_labels(root / "MNIST" / "raw" / "train-labels-idx1-ubyte"))


def data_root(data: str) -> str:
    """Return the folder with the files of ``--data``: empty for the embedded subset."""
    if data != "full":
        return ""
    candidates = [os.environ.get("MNIST_ROOT", ""), str(ROOT.parent / "shared/data/mnist")]
    for candidate in candidates:
        if candidate and Path(candidate).is_dir():
            return candidate
    sys.exit("error: --data full: set MNIST_ROOT to the folder with MNIST's IDX files")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that reads well in a terminal and is one in Markdown; text columns left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def verdict(what: str, value: float, target: float, *, unit: str, at_most: bool = False) -> str:
    """Return one line that says whether a target was met."""
    met = value <= target if at_most else value >= target
    sign = "<=" if at_most else ">="
    digits = 1 if unit == " %" else 2
    return (
        f"{what}: {value:.{digits}f}{unit} "
        f"(target {sign} {target:g}{unit}: {'met' if met else 'missed'})"
    )


def cpu_name() -> str:
    """Return the processor's name."""
    from mnist_core.device import runtime

    return runtime.cpu_name()


def environment(cpu: str) -> str:
    """Return one line on hardware and versions; ``cpu`` is the processor's name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = ("torch", "torchvision", "optuna")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{cpu}, {cores} cores; {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {versions}; commit {commit()}; "
        f"load average {os.getloadavg()[0]:.1f} at the end"
    )


def record(title: str, text: str) -> None:
    """Write a section into RESULTS.md; an older one of the same title moves to ``history/``.

    A section says the time and the command that made it.
    """
    head, *sections = RESULTS.read_text(encoding="utf-8").split("\n## ")
    older = [section for section in sections if _title(section) == title]
    for section in older:
        sections.remove(section)
        history = HISTORY / f"{section[:7]}.md"  # by the month of its measurement
        history.parent.mkdir(exist_ok=True)
        with history.open("a", encoding="utf-8") as file:
            file.write(f"\n## {section.rstrip()}\n")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = " ".join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]])
    sections.append(f"{when}: {title}\n\n`{command}`\n\n{text}")
    texts = [head, *sections]
    RESULTS.write_text("\n\n## ".join(part.strip() for part in texts) + "\n", encoding="utf-8")


def _title(section: str) -> str:
    """Return a section's title, without the date and the time before it."""
    return re.sub(r"^[\d-]+( [\d:]+ UTC:)? ", "", section.partition("\n")[0])


def say(text: str) -> None:
    """Tell on stderr what is being done."""
    print(text, file=sys.stderr, flush=True)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def children_seconds() -> float:
    """Return seconds of the processor that all ended children took, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commit() -> str:
    """Return the commit of the packages, and whether they have changed since."""

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return ""
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "mnist_core", "objectives", "studies")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" + changes" if changed else "")
