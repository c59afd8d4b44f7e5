"""What a study's log knows of the test set, where the database that has the record is gone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from studies.analysis.holdout_record import Opening, Reading
from studies.core.event_log import Tail
from studies.core.events import Event


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What a log knows.

    Attributes:
        reading: the readings of the test set, without values.
        data: name of the data set; "": the log does not say.
        confirmed: whether the confirmation had begun.
    """

    reading: Reading
    data: str
    confirmed: bool


def reading_in_log(path: Path) -> Logged:
    """Return what the log at ``path`` knows of the test set.

    Raises:
        OSError: if the log is there, but cannot be read.
    """
    times: list[float] = []
    trials: list[set[int]] = []
    data, confirmed = "", False

    def begin(event: Event) -> None:
        times.append(event.time)
        trials.append(set())

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
    openings = tuple(map(_opening, times, trials))
    return Logged(reading=Reading(openings=openings), data=data, confirmed=confirmed)


def _opening(time: float, trials: set[int]) -> Opening:
    when = datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
    return Opening(time=when, trials=tuple(sorted(trials)), kept=bool(trials))
