"""The reports of one trial: they are checked, handed on, and it is remembered if one says stop."""

import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

from objectives.base import Report, StopTraining, TrainingError

COUNT, SPENT = "reports", "report_seconds"
"""Attributes of a trial: the number of its reports, the seconds that they made it longer."""


class Reports:
    """The ``report`` that an objective of the user's own gets.

    Args:
        report: of the engine.
        read: returns metrics by name of what the objective reports; TrainingError: it cannot.
        last: the number of reports of a trial; None: not known.
        costs: metrics that each report has as well.

    Attributes:
        latest: the metrics of the last report.
        stopped: whether the last answer was to stop.
    """

    def __init__(
        self,
        report: Report,
        read: Callable[[Any], dict[str, float]],
        *,
        last: int | None,
        costs: Mapping[str, float],
    ) -> None:
        self._report, self._read, self._last, self._costs = report, read, last, costs
        self._step = self._count = 0
        self._spent = self._latest_spent = 0.0
        self.latest: Mapping[str, float] = {}
        self.stopped = False

    def __call__(self, step: int, metrics: Mapping[str, float] | float) -> None:
        """Report ``metrics``, or the value of the metric, at ``step``.

        Raises:
            StopTraining: if the trial is to end here.
            TrainingError: ``BadReport``: steps must be whole numbers from 1 that rise;
                ``BadOutcome``: the metrics are not numbers.
        """
        # A falling step would be taken for one of an earlier attempt, which is never stopped.
        self._step = checked_step(step, after=self._step, last=self._last)
        self.latest = {**self._read(metrics), **self._costs}
        began = time.monotonic()
        try:
            self._report(self._step, self.latest)
        except StopTraining:
            # At the last report nothing is left that could be saved.
            if self._step == self._last:
                return
            self.stopped = True
            raise
        finally:
            self._count += 1
            self._latest_spent = time.monotonic() - began
            self._spent += self._latest_spent

    def not_waited_for(self) -> None:
        """Leave the time of the last report out: the objective ran on meanwhile."""
        self._spent -= self._latest_spent
        self._latest_spent = 0.0

    def cost(self) -> dict[str, float]:
        """Return the number of reports and the seconds spent on them, as a trial's attributes."""
        return {COUNT: self._count, SPENT: round(self._spent, 4)} if self._count else {}


def checked_step(step: Any, *, after: int, last: int | None) -> int:
    """Return ``step`` as an integer; TrainingError ``BadReport``: it is not the next one."""
    try:
        number = operator.index(step)
    except TypeError:
        raise _bad(step, "a whole number, 1 at the first report") from None
    if isinstance(step, bool):
        raise _bad(step, "a whole number, 1 at the first report")
    if number < 1:
        raise _bad(step, "1 or more; count the reports of a trial from 1")
    if number <= after:
        raise _bad(step, f"larger than that of the report before, {after}")
    if last is not None and number > last:
        raise _bad(
            step,
            f"at most {last}, as the objective says reports = {last}; count them from 1, or set"
            " reports to the last step",
        )
    return number


def _bad(step: Any, must: str) -> TrainingError:
    return TrainingError("BadReport", f"report: step must be {must}, but got {step!r:.80}")
