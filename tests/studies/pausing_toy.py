"""A toy training that keeps its state in a file, as the trainer does, and notes what it trains."""

import json
import math
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from objectives.base import Outcome, Report, Task

REPORTS = 6


@dataclass(frozen=True)
class PausingToy:
    """Trains ``REPORTS`` reports; each one that it trains is a line in ``folder / "trained"``.

    Attributes:
        rungs: reports at which its state is written.
        dies: kills itself, once, after it has trained report 5 of these trials.
        sleep: seconds of a report.
    """

    folder: Path
    rungs: tuple[int, ...] = (3,)
    dies: tuple[int, ...] = ()
    sleep: float = 0.0

    def __call__(self, task: Task, report: Report) -> Outcome:
        state = self.folder / f"{task.number}.json"
        values = json.loads(state.read_text()) if state.exists() else []
        for step, value in enumerate(values, 1):
            report(step, {"val_accuracy": value})
        for step in range(len(values) + 1, REPORTS + 1):
            time.sleep(self.sleep)
            values.append(value_of(task, step))
            with (self.folder / "trained").open("a") as file:
                file.write(f"{task.number} {step}\n")
            died = self.folder / f"{task.number}.died"
            if step == 5 and task.number in self.dies and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if step in self.rungs:
                part = state.with_suffix(".part")
                part.write_text(json.dumps(values))
                part.replace(state)
            report(step, {"val_accuracy": values[-1]})
        return Outcome(metrics={"val_accuracy": values[-1]})


def value_of(task: Task, step: int) -> float:
    """The value of a report: it depends on params, seed and step alone."""
    rate = next(v for n, v in sorted(task.params.items()) if isinstance(v, float))
    noise = random.Random(f"{task.seed} {step}").gauss(0, 0.01)
    return 0.9 - 0.02 * (math.log10(rate) + 2) ** 2 - 0.1 / step + noise


def curve_of(task: Task, steps: int = REPORTS) -> dict[int, float]:
    """The curve of a training in one go."""
    return {step: value_of(task, step) for step in range(1, steps + 1)}


def trained(folder: Path) -> dict[tuple[int, int], int]:
    """How often each report (trial, step) was trained."""
    found: dict[tuple[int, int], int] = {}
    for line in (folder / "trained").read_text().splitlines():
        number, step = map(int, line.split())
        found[number, step] = found.get((number, step), 0) + 1
    return found
