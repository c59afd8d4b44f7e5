"""A trial that does nothing, for ``ours/ray_scale_once.py``; its workers import this."""

import time
from dataclasses import dataclass

from objectives.base import Outcome, Report, Task


@dataclass(frozen=True)
class Nothing:
    """Makes two reports, and waits ``pause`` seconds before each."""

    pause: float = 0.0

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Report twice."""
        for step in (1, 2):
            time.sleep(self.pause)
            report(step, {"val_accuracy": 0.5 + step / 10})
        return Outcome(metrics={"val_accuracy": 0.7})
