"""When each trial ran, and on which worker."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from studies.core.trials import TrialRecord, TrialState

CONFIRM = "CONFIRM"
"""Kind of a span of the confirmation, whatever its state."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """One attempt of a trial, in seconds since the first start.

    Attributes:
        lane: the worker, from 0; workers are told apart by what runs at the same time.
        kind: one of ``time_spent.SPENT``.
    """

    number: int
    lane: int
    begin: float
    end: float
    kind: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All finished trials in time.

    Attributes:
        lanes: the number of workers that were busy at once, at most.
        seconds: from the first start to the last end.
    """

    spans: list[Span]
    lanes: int
    seconds: float


def timeline(search: Iterable[TrialRecord], confirm: Iterable[TrialRecord]) -> Timeline | None:
    """Return when the trials ran; None: no trial has a start and an end."""
    ran = [(r, str(r.state)) for r in search if r.ending != TrialState.INFEASIBLE]
    ran += [(record, CONFIRM) for record in confirm]
    known = sorted(
        (record.started, record.ended, record.number, kind)
        for record, kind in ran
        if record.started and record.ended and record.state.finished
    )
    if not known:
        return None
    first, spans = known[0][0], []
    # The lowest free lane takes the next trial, so a lane is a worker as long as none is replaced.
    free: list[int] = []
    busy: list[tuple[datetime, int]] = []
    lanes = 0
    for started, ended, number, kind in known:
        while busy and busy[0][0] <= started:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else lanes
        lanes = max(lanes, lane + 1)
        heapq.heappush(busy, (ended, lane))
        begin, end = ((at - first).total_seconds() for at in (started, ended))
        spans.append(Span(number=number, lane=lane, begin=begin, end=end, kind=kind))
    return Timeline(spans=spans, lanes=lanes, seconds=max(span.end for span in spans))
