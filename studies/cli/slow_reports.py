"""A line, once a study, if the reports of a trial cost much of its time."""

from collections.abc import Callable

from objectives.own.reports import COUNT, SPENT
from studies.core.events import TRIAL_ENDS, Event

_MUCH = 0.05
"""Fraction of a trial's time above which its reports are too many."""
_LEAST = 1.0
"""Seconds of reports in a trial below which it does not matter."""


class SlowReports:
    """A listener that gives ``say`` a line about the first trial whose reports cost much."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said = False

    def __call__(self, event: Event) -> None:
        """Handle ``event``."""
        attributes = event.data.get("attributes") or {}
        spent, whole = attributes.get(SPENT, 0.0), event.data.get("seconds") or 0.0
        if self._said or event.kind not in TRIAL_ENDS or spent < max(_LEAST, _MUCH * whole):
            return
        self._said = True
        count = attributes[COUNT]
        self._say(
            f"trial {event.trial} spent {spent / whole:.0%} of its {whole:.1f} s in report"
            f" ({count:,} reports, {1000 * spent / count:.1f} ms each); report less often, e.g."
            " every tenth step"
        )
