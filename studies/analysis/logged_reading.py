"""The record of the test set as a study's log tells it, where the database is gone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from studies.analysis.holdout_record import HoldoutReading, HoldoutRecord
from studies.core.event_log import Tail
from studies.core.events import Event


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What a log tells of the test set: ``data`` is the data set's name, or ""."""

    record: HoldoutRecord
    data: str
    confirmed: bool


def reading_in_log(path: Path) -> Logged:
    """Return what the log at ``path`` tells of the test set.

    Raises:
        OSError: if the log is there, but cannot be read.
    """
    times: list[float] = []
    trials: list[set[int]] = []
    data, confirmed = "", False

    def begin(event: Event) -> None:
        times.append(event.time)
        trials.append(set())

    # A reading is in the log before the models are judged, and its values after.
    for event in Tail(path).read():
        confirmed |= event.phase == "confirm"
        if event.kind == "study":
            data = str((event.data.get("train") or {}).get("data.name", data))
        elif event.kind == "phase" and event.data.get("name") == "test":
            begin(event)
        elif event.kind == "tested" and event.trial is not None:
            if not trials:  # filled in from the database
                begin(event)
            trials[-1].add(event.trial)
    readings = tuple(map(_reading, times, trials))
    return Logged(record=HoldoutRecord(readings=readings), data=data, confirmed=confirmed)


def _reading(time: float, trials: set[int]) -> HoldoutReading:
    when = datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
    return HoldoutReading(time=when, trials=tuple(sorted(trials)), kept=bool(trials))
