"""A line, once a study, if the reports of a trial cost much of its time."""

from collections.abc import Callable

from mnist_core.console.plain_text import counted
from objectives.own.reports import COUNT, SPENT
from studies.core.events import TRIAL_ENDS, Event

_MUCH = 0.05
"""Fraction of a trial's time above which its reports are too many."""
_LEAST = 1.0
"""Seconds of reports in a trial below which it does not matter."""
_FEW = 20
"""With fewer reports it is not their number that costs: the machine, or the database, is busy."""


class SlowReports:
    """A listener that gives ``say`` a line about the first trial whose reports cost much.

    ``by_command``: a shell command is the objective; its reports are lines that it prints.
    """

    def __init__(self, say: Callable[[str], object], *, by_command: bool = False) -> None:
        self._say, self._by_command = say, by_command
        self._said = False

    def __call__(self, event: Event) -> None:
        """Handle ``event``."""
        attributes = event.data.get("attributes") or {}
        spent, whole = attributes.get(SPENT, 0.0), event.data.get("seconds") or 0.0
        if self._said or event.kind not in TRIAL_ENDS or spent < max(_LEAST, _MUCH * whole):
            return
        count = attributes[COUNT]
        if count < _FEW:
            return
        self._said = True
        self._say(
            f"trial {event.trial}: {self._what(spent, whole)} ({counted(count, 'report')},"
            f" {1000 * spent / count:.1f} ms each); {self._remedy()}, e.g. at every tenth step"
        )

    def _what(self, spent: float, whole: float) -> str:
        if self._by_command:
            return f"{spent:.1f} of its {whole:.1f} s were for reports after its command had ended"
        return f"{spent / whole:.0%} of its {whole:.1f} s were spent in report"

    def _remedy(self) -> str:
        return "print a line with a step less often" if self._by_command else "report less often"
