"""A trial that does nothing, for ``ours/ray_scale_once.py``; its workers import this."""

from dataclasses import dataclass

from objectives.base import Outcome, Report, Task


@dataclass(frozen=True)
class Nothing:
    """Makes ``reports`` reports."""

    reports: int = 2

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Report, and report again."""
        for step in range(1, self.reports + 1):
            report(step, {"val_accuracy": 0.5 + step / 100})
        return Outcome(metrics={"val_accuracy": 0.5 + self.reports / 100})
