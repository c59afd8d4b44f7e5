"""Events that a log lacks, made from the database.

The disk was full, or the supervisor was killed between two writes. These events hold less than the
original ones: of each report only the study's metric, with an estimated time.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from studies.analysis.stored_study import Stored
from studies.core.attributes import LABEL
from studies.core.events import Event, Kind
from studies.core.trials import TrialRecord, TrialState


def missing_events(found: Stored, over: Collection[tuple[str, int]]) -> Iterator[Event]:
    """Yield start, reports and end of each trial that has ended and is not in ``over``.

    ``over`` holds phase and number of the trials that have their end in the log.
    """
    for phase, records in (("search", found.search), ("confirm", found.confirm)):
        for record in records:
            if record.state.finished and (phase, record.number) not in over:
                yield from _events(phase, record, found.plan.spec.metric)
    read = found.result.test.values if found.result is not None else {}
    for number in sorted(read):
        if ("test", number) not in over:
            yield Event(
                kind="tested", phase="test", trial=number, data={"metrics": dict(read[number])}
            )


def _events(phase: str, record: TrialRecord, metric: str) -> Iterator[Event]:
    ended = record.ended.timestamp() if record.ended is not None else 0.0
    seconds = record.seconds or 0.0
    began = ended - seconds

    def event(kind: Kind, time: float, data: Mapping[str, Any]) -> Event:
        return Event(kind=kind, phase=phase, trial=record.number, data=data, time=time)

    start = {"params": record.params, "seed": record.seed, "attempt": record.attempt}
    if LABEL in record.attributes:
        start["label"] = record.attributes[LABEL]
    yield event("start", began, {**start, "filled": True})
    last = max(record.curve, default=1)
    for step, value in record.curve.items():
        when = began + seconds * step / last
        yield event("report", when, {"step": step, "metrics": {metric: value}})
    end: dict[str, Any] = {"seconds": record.seconds}
    if record.failure is not None:
        failure = record.failure
        end |= {"kind": failure.kind, "message": failure.message, "traceback": failure.traceback}
    else:
        end |= {"value": record.value, "metrics": record.metrics, "attributes": record.attributes}
        end |= {"step": last} if record.state == TrialState.PRUNED else {}
    yield event(record.state.end_event, ended, end)
