"""Our objective, and the trial book, with a clock in hand; for ``ours/study_once.py``.

Times are of ``time.monotonic``, which all processes of a machine share.
"""

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from objectives.base import Outcome, Report, Task
from objectives.classification import Classification

if TYPE_CHECKING:  # the workers import this module, and need no Optuna
    from studies.ledger.opening import TrialBook

CLOCK = "benchmark"
"""The attribute of a trial under which its times are kept."""


@dataclass(frozen=True)
class TimedClassification(Classification):
    """The objective, which adds to each outcome when it began and ended, and what it waited."""

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Train as ``task`` says."""
        from mnist_core.data import load
        from mnist_core.device import runtime

        config = self.config(task)
        load(config.data, runtime.resolve(config).device)  # once a process: belongs to the start
        begin, waited = time.monotonic(), 0.0

        def timed(step: int, metrics: Mapping[str, float]) -> None:
            nonlocal waited
            asked = time.monotonic()
            try:
                report(step, metrics)
            finally:
                waited += time.monotonic() - asked

        outcome = super().__call__(task, timed)
        times = {"pid": os.getpid(), "begin": begin, "end": time.monotonic(), "waited": waited}
        return Outcome(
            metrics=outcome.metrics,
            stopped=outcome.stopped,
            attributes={**outcome.attributes, CLOCK: times},
        )


class TimedBook:
    """A book that adds up the seconds spent in each of its methods."""

    def __init__(self, book: "TrialBook") -> None:
        self._book = book
        self.seconds: dict[str, float] = defaultdict(float)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._book, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            begun = time.monotonic()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds[name] += time.monotonic() - begun

        return timed
