"""The parts of ``benchmarks/gpu.py``: each runs its programs in its time and returns its tables."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import measure
from measure import Result

from on_gpu import running, stacked_table, tables
from on_gpu.machine import Machine
from on_gpu.running import Clock, Ran
from on_gpu.tables import Measured
from on_gpu.targets import MODELS

Tried = tuple[Measured, list[str]]
"""What a part came to, and what went wrong in it, a line each."""


@dataclass(frozen=True)
class Job:
    """What the parts have in common.

    Attributes:
        machine: what they run on.
        quick: whether to measure little, in seconds.
        log: gets everything that the programs print.
        clock: the time of the part.
        rows: what its programs printed, for ``results.json``.
    """

    machine: Machine
    quick: bool
    log: Path
    clock: Clock
    rows: list[Result] = field(default_factory=list)

    def run(self, seconds: float, command: list[object], **environment: str) -> Ran:
        """Run a program for at most ``seconds``, and no longer than the part's time."""
        limit = min(seconds, self.clock.left)
        ran = running.run(command, limit, log=self.log, environment=environment)
        self.rows.extend(ran.rows)
        return ran

    def program(self, seconds: float, name: str, *arguments: object) -> Ran:
        """Run a program of ``ours/`` on the device."""
        command = running.program(f"ours/{name}.py", "--device", self.machine.device, *arguments)
        return self.run(seconds, command)


def tests(job: Job) -> Tried:
    """Run the tests marked ``gpu``, each file by itself, so that one that hangs stops no other."""
    files = [
        str(path.relative_to(measure.ROOT))
        for path in sorted((measure.ROOT / "tests").rglob("test_*.py"))
        if "pytest.mark.gpu" in path.read_text(encoding="utf-8")
    ]
    groups = [files] if job.quick else [[path] for path in files]
    cells, trouble = [], []
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for i, group in enumerate(groups):
        name, share = " ".join(map(str, group)), job.clock.left / (len(groups) - i)
        options = ["-m", "gpu", "-p", "no:cacheprovider", "--color=no"]
        ran = job.run(share, [sys.executable, "-m", "pytest", *options, *group])
        counts = counted(ran.text)
        # A file that could not be run, or did not end, is not one without failures.
        counts["failed"] += int(bool(ran.trouble) and not counts["failed"])
        total = {kind: total[kind] + counts[kind] for kind in total}
        cells.append([name, *(str(counts[kind]) for kind in total), f"{ran.seconds:.1f}"])
        job.rows.append({"tests": name, **counts, "seconds": ran.seconds})
        if ran.trouble:
            trouble.append(f"{name}: {ran.trouble}")
    table = measure.table(["tests", *total, "seconds"], cells)
    return Measured(table, {kind: float(count) for kind, count in total.items()}), trouble


def counted(text: str) -> dict[str, int]:
    """Return the counts in pytest's last line; an error counts as a failure."""
    found = {"passed": 0, "failed": 0, "skipped": 0}
    last = next(
        (line for line in reversed(text.splitlines()) if re.search(r" in [\d.]+s", line)), ""
    )
    for count, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", last):
        found["failed" if kind == "error" else kind] += int(count)
    return found


def trainer(job: Job) -> Tried:
    """Measure the floors, then the steps of each model."""
    precisions = "bf16,fp32" if not job.machine.on_gpu else "bf16,fp32,tf32,fp16"
    quick: list[object] = ["--quick"] if job.quick else []
    ran = job.program(60, "gpu_floors", "--precisions", precisions, *quick)
    if not ran.rows:
        return Measured(""), [f"floors: {ran.trouble}"]
    floors, rows, trouble = ran.rows[-1], [], []
    # On a GPU a process for each model: an error of CUDA ends all that a process can do there.
    groups = [",".join(MODELS)] if job.quick else [*MODELS]
    for i, group in enumerate(groups):
        share = job.clock.left / (len(groups) - i)
        size, limit = (32, 128) if job.quick else (256, 12_000) if group == "siamese" else (64, 0)
        options: list[object] = ["--models", group, "--precisions", precisions]
        options += ["--batch-size", size, "--limit", limit]
        options += ["--seconds", 0.1 if job.quick else min(1.5, share / 40)]
        ran = job.program(share, "gpu_steps", *options)
        rows += ran.rows
        if ran.trouble:
            trouble.append(f"{group}: {ran.trouble}")
    for row in rows:
        if "failed" in row:
            form = f"{row['model']}, {row['precision']}, graph {row['graph']}"
            trouble.append(f"{form}: {row['failed']}")
    return tables.trainer(floors, rows), trouble


def fast99(job: Job) -> Tried:
    """Measure the time of the recipe, on all of MNIST where its files are."""
    root = _mnist()
    options: list[object] = ["--data", "mnist" if root else "mnist-10pct", "--data-root", root]
    options += ["--seeds", 1 if job.quick else 10, "--limit", 1280 if job.quick else 0]
    ran = job.program(job.clock.left, "gpu_accuracy", *options)
    return tables.accuracy(ran.rows), [f"fast99: {ran.trouble}"] if ran.trouble else []


def workers(job: Job) -> Tried:
    """Run the same list of trials with one to eight workers that share the device."""
    counts = (1, 2) if job.quick else (1, 2, 4, 8)
    counts = tuple(count for count in counts if count <= _cores())
    chosen = json.loads((measure.HERE / "study_trials.json").read_text(encoding="utf-8"))
    runs, trouble = [], []
    for i, count in enumerate(counts):
        share = job.clock.left / (len(counts) - i)
        trials = chosen[: 2 * count if job.quick else 8 + 4 * count]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "trials.json")
            file.write_text(json.dumps(trials), encoding="utf-8")
            options: list[object] = ["--trials", file, "--workers", count]
            options += ["--epochs", 1 if job.quick else 15, "--folder", Path(folder, "results")]
            ran = job.program(share, "study_once", *options)
        run = ran.rows[-1] if ran.rows else {}
        runs.append({**run, "workers": count, "seconds": ran.seconds, "trouble": ran.trouble})
        if ran.trouble:
            trouble.append(f"{count} workers: {ran.trouble}")
    return tables.workers(runs), trouble


def stacked(job: Job) -> Tried:
    """Measure members of a stack against lone trainings and processes, model by model."""
    members, counts = ("1,3", (1, 2)) if job.quick else ("1,3,8,32", (1, 2, 4, 8))
    processes = ",".join(str(count) for count in counts if count <= _cores())
    models = MODELS[:1] if job.quick else MODELS
    rows, trouble = [], []
    for i, model in enumerate(models):
        share = job.clock.left / (len(models) - i)
        size, limit = (32, 128) if job.quick else (256, 12_000) if model == "siamese" else (64, 0)
        options: list[object] = ["--model", model, "--members", members, "--processes", processes]
        options += ["--batch-size", size, "--limit", limit]
        options += ["--seconds", 0.1 if job.quick else min(2.0, share / 30)]
        ran = job.program(share, "gpu_stacked", *options)
        rows += ran.rows
        if ran.trouble:
            trouble.append(f"{model}: {ran.trouble}")
    for row in rows:
        if "failed" in row:
            form = f"{row['model']}, {row['members']} {row['form']}, graph {row['graph']}"
            trouble.append(f"{form}: {row['failed']}")
    return stacked_table.stacked(rows), trouble


def _cores() -> int:
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def _mnist() -> str:
    """Return the folder with MNIST's files; empty if there is none."""
    near = [folder / "shared/data/mnist" for folder in (measure.ROOT, measure.ROOT.parent)]
    places = [os.environ.get("MNIST_ROOT", ""), *map(str, near)]
    return next((place for place in places if place and Path(place).is_dir()), "")


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        run: measures.
        share: of the whole time that it gets; what an earlier part leaves is divided alike.
    """

    run: Callable[[Job], Tried]
    share: float


PARTS = {
    "tests": Part(tests, 2.0),
    "trainer": Part(trainer, 3.5),
    "fast99": Part(fast99, 1.5),
    "stacked": Part(stacked, 2.5),
    "workers": Part(workers, 3.0),
}
"""In the order in which they run."""
