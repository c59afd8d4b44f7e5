"""The stream of events that a study sends out: the live view listens, trackers will."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "phase",  # data: name ("search" | "confirm" | "test"), total: tasks planned, done: already over
    "start",  # data: params, seed, attempt, pid
    "report",  # data: step, metrics
    "complete",  # data: value, metrics, seconds
    "pruned",  # data: value, step, seconds
    "failed",  # data: kind, message
    "lost",  # data: kind, message, attempt (the trial goes back to the queue)
    "message",  # data: text, level ("info" | "warning")
]


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
