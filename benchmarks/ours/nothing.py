"""A trial that does nothing, or sleeps, for the programs beside this; their workers import this."""

import time
from dataclasses import dataclass

from objectives.base import Outcome, Report, Task


@dataclass(frozen=True)
class Nothing:
    """Makes ``reports`` reports in ``seconds``."""

    reports: int = 2
    seconds: float = 0.0

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Report, and report again."""
        for step in range(1, self.reports + 1):
            time.sleep(self.seconds / self.reports)
            report(step, {"val_accuracy": 0.5 + step / 100})
        return Outcome(metrics={"val_accuracy": 0.5 + self.reports / 100})
