"""Objectives whose workers cannot use their device; light, as worker processes import them."""

import os
from dataclasses import dataclass
from pathlib import Path

from objectives.base import Outcome, WorkerUnfit

TAKEN = "the data cannot be loaded on cuda:0: CUDA out of memory."
STICKY = "CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA"


@dataclass(frozen=True)
class Unfit:
    """Notes each attempt in ``folder``.

    Attributes:
        folder: of the notes: one file an attempt, with the process.
        times: so many attempts find the device taken, before anything is trained.
        sticky: trials that a GPU fails under, after a report.
    """

    folder: Path
    times: int = 0
    sticky: tuple[int, ...] = ()

    def __call__(self, task, report):
        made = len(attempts(self.folder))
        (self.folder / f"{made:03d} {task.number} {os.getpid()}").touch()
        if made < self.times:
            raise WorkerUnfit(TAKEN)
        report(1, {"val_accuracy": 0.5})
        if task.number in self.sticky:
            raise RuntimeError(STICKY)
        return Outcome(metrics={"val_accuracy": 0.5})


def attempts(folder):
    """Return the trial and the process of each attempt, in their order."""
    notes = (path.name.split() for path in sorted(folder.glob("[0-9]* *")))
    return [(int(number), int(pid)) for _, number, pid in notes]
