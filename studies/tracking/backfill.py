"""Events that a log lacks, made again from the database.

A log can lack the end of trials that the database knows: the disk was full, the supervisor was
killed between the two, the study is older than its log. What is made here is poorer than what was
seen: of each report the study's metric only, and its time is estimated.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from studies.analysis import stored_study
from studies.core.events import Event, Kind
from studies.core.trials import TrialRecord
from studies.planning.plan import Plan

_KINDS: dict[str, Kind] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def missing_events(plan: Plan, over: Collection[tuple[str, int]]) -> Iterator[Event]:
    """Yield start, reports and end of each trial that is over and not in ``over``.

    Args:
        plan: the study's.
        over: phase and number of the trials that the log has the end of.

    Raises:
        UserError: the study cannot be read.
    """
    found = stored_study.read(plan)
    for phase, records in (("search", found.search), ("confirm", found.confirm)):
        for record in records:
            if record.state in _KINDS and (phase, record.number) not in over:
                yield from _events(phase, record, plan.spec.metric)
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
        end |= {"step": last} if record.state == "PRUNED" else {}
    yield event(_KINDS[record.state], ended, end)
