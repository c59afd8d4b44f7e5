"""The events of a study, and the stream that hands them to listeners."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

_log = logging.getLogger(__name__)

Kind = Literal[
    # data: its identity (id), once a run, before all others; in the log also what the study is,
    # see ``studies/tracking/recording.py``
    "study",
    # data: name ("search" | "confirm" | "test"), total: tasks planned, done: already over; search
    # and confirm also counts of those (complete, pruned, failed); search best: value, trial,
    # params, and choices: choice, counts and best of each, or leaders: the best trials; confirm
    # confirmed: value, trial, params of each training; test judged: what is tested, as a noun
    "phase",
    "start",  # data: params, seed, attempt, pid; confirm also label
    "report",  # data: step, metrics
    "complete",  # data: value, metrics, seconds, attributes
    "paused",  # data: value, step, seconds; the trial keeps its state and may start again
    "pruned",  # data: value, step, seconds, attributes
    "failed",  # data: kind, message, traceback, seconds
    # the trial waits again: its worker died, or it had failed and is retried
    "lost",  # data: kind, message, attempt
    "tested",  # data: metrics of the confirmed model ``trial`` on the test images
    "result",  # data: the study's result, see ``studies/tracking/recording.py``
    # other supervisors have ended trials (--join); data: total, done, counts, best, and choices or
    # leaders as in "phase"
    "elsewhere",
    "message",  # data: text, level ("info" | "warning")
]

TRIAL_ENDS = ("complete", "pruned", "failed")
"""Kinds of events that end a trial; ``TrialState.end_event`` is one of them."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened in a study; ``trial`` is None where it concerns the whole study."""

    kind: Kind
    phase: str
    trial: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


Listener = Callable[[Event], None]
"""Called from the supervising thread with each event; it must return quickly."""


class Stream:
    """Hands events of ``phase`` to listeners in order.

    If a listener raises, it is logged once and the study continues.
    """

    def __init__(self, phase: str, listeners: Sequence[Listener] = ()) -> None:
        self._phase = phase
        self._listeners = tuple(listeners)
        self._broken: set[int] = set()

    def emit(self, kind: Kind, trial: int | None, /, **data: Any) -> None:
        """Tell every listener that ``kind`` happened to ``trial`` (None: to the whole study)."""
        event = Event(kind=kind, phase=self._phase, trial=trial, data=data)
        for index, listener in enumerate(self._listeners):
            try:
                listener(event)
            except Exception:  # a listener's error must not harm a trial
                if index not in self._broken:
                    self._broken.add(index)
                    _log.exception("a listener failed at %r; reported once", kind)
