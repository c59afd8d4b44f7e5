"""A training that takes a tenth of a second, for ``ours/toy_study.py``; its workers import this."""

import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.config import TrainConfig
from objectives.base import Outcome, Report, Task

STEPS, SECONDS = 5, 0.02
_TOP = {"sgd": 0.93, "adam": 0.97, "adagrad": 0.90}


@dataclass(frozen=True)
class ToyTrial:
    """Four reports and a result that follow from params and seed alone.

    Attributes:
        keep_models: folder for the "models".
    """

    keep_models: Path | None = None

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Sleep and report."""
        name, lr = task.params["optim.name"], task.params["lr"]
        noise = random.Random(f"{name} {task.seed}").gauss(0, 0.002)
        value = _TOP[name] - 0.02 * (math.log10(lr) + 2) ** 2 + noise
        for step in range(1, STEPS + 1):
            time.sleep(SECONDS)
            report(step, {"val_accuracy": value - 0.1 * (1 / step - 1 / STEPS)})
        if self.keep_models is not None:
            self.keep_models.mkdir(parents=True, exist_ok=True)
            model = self.keep_models / f"{task.number}.safetensors"
            model.write_text(f"{value!r}", encoding="utf-8")
        return Outcome(
            metrics={"val_accuracy": value, "val_loss": 1 - value},
            attributes={"device": "cpu", "device_name": "toy", "precision": "fp32", "threads": 1},
        )


def describe(data: Any) -> dict[str, Any]:
    """Stand for ``fingerprint.describe``, which would load torch and images in a worker."""
    return {"versions": {"torch": "none"}, "data": {"fingerprint": "toy", "sha256": {}}}


def read_test(
    train: TrainConfig, models: Mapping[int, Path], *, study: str
) -> dict[int, dict[str, float]]:
    """Stand for the test set; each reading adds a line to the file that ``TOY_READINGS`` names."""
    if "TOY_READINGS" in os.environ:
        with open(os.environ["TOY_READINGS"], "a", encoding="utf-8") as file:
            file.write(f"{study}\n")
    return {
        number: {"test_accuracy": float(path.read_text(encoding="utf-8")) - 0.01}
        for number, path in models.items()
    }
