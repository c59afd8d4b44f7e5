"""Toy objectives for tests of books and engines; workers import this module, so it is light."""

import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from waiting import until

from objectives.base import Outcome, Report, Task, TrainingError


@dataclass(frozen=True)
class Toy:
    """Scripted: what happens depends on the trial's number alone.

    ``raises``, ``diverges`` (nan at step 2), ``dies`` (kill -9 of itself at step 2): numbers;
    ``deaths``: how often those that die do so; ``holds``: the number from which on none ends.
    ``waits``: all wait until there is a file ``go``. ``folder`` keeps a line per attempt.
    """

    folder: Path
    steps: int = 4
    sleep: float = 0.0
    raises: tuple[int, ...] = ()
    runs_out: tuple[int, ...] = ()
    diverges: tuple[int, ...] = ()
    dies: tuple[int, ...] = ()
    deaths: int = 1
    exits: tuple[int, ...] = ()
    unpicklable: tuple[int, ...] = ()
    holds: int = 2**31
    waits: bool = False

    def __call__(self, task: Task, report: Report) -> Outcome:
        line = (
            f"{task.number} {task.attempt} {task.seed} {sorted(task.params.items())} {os.getpid()}"
        )
        with (self.folder / "attempts").open("a") as file:
            file.write(line + "\n")
        value = 0.0
        for step in range(1, self.steps + 1):
            time.sleep(self.sleep)
            value = curve(task, step)
            if step == 2:
                if task.number >= self.holds:
                    time.sleep(3600)
                if self.waits:
                    until((self.folder / "go").exists)
                if task.number in self.raises:
                    raise ValueError("this trial was made to fail\nsecond line")
                if task.number in self.runs_out:
                    raise TrainingError("OutOfMemory", "no memory left")
                if task.number in self.diverges:
                    value = math.nan
                if task.number in self.dies and task.attempt < self.deaths:
                    print("dying words", flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
                if task.number in self.exits:
                    os._exit(7)
            report(step, {"val_accuracy": value, "val_loss": 1 - value})
        extra = {"odd": (lambda: 0)} if task.number in self.unpicklable else {}
        return Outcome(
            metrics={"val_accuracy": value, "val_loss": 1 - value},
            attributes={"device": "cpu", "steps_done": self.steps, **extra},
        )


def curve(task: Task, step: int) -> float:
    """Rises with the step; `slow` starts slowly and ends best."""
    quality = float(task.params.get("x", 0.5))
    speed = 0.05 if task.params["kind"] == "slow" else 0.3
    return (0.2 + 0.5 * quality) * (1 - math.exp(-speed * step)) + task.seed % 97 / 1e6


def attempts(folder: Path) -> list[list[str]]:
    """The fields of every attempt's line: number, attempt, seed, params, pid."""
    try:
        lines = (folder / "attempts").read_text().splitlines()
    except FileNotFoundError:
        return []
    result = []
    for line in lines:
        head, _, pid = line.rpartition(" ")
        result.append([*head.split(" ", 3), pid])
    return result
