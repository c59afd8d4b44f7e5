"""What a study's log knows of the test set, where the database that has the record is gone."""

from datetime import UTC, datetime
from pathlib import Path

from studies.confirmation.test_record import Opening, Reading
from studies.trail.event_log import Tail
from studies.trail.events import Event


def reading_in_log(path: Path) -> tuple[Reading, str]:
    """Return the readings in the log at ``path``, without values, and the name of the data set.

    Raises:
        OSError: the log is there, but cannot be read.
    """
    times: list[float] = []
    trials: list[set[int]] = []
    data = ""

    def begin(event: Event) -> None:
        times.append(event.time)
        trials.append(set())

    for event in Tail(path).read():
        if event.kind == "study":
            data = str((event.data.get("train") or {}).get("data.name", data))
        elif event.kind == "phase" and event.data.get("name") == "test":
            begin(event)
        elif event.kind == "tested" and event.trial is not None:
            if not trials:  # filled in from the database
                begin(event)
            trials[-1].add(event.trial)
    return Reading(openings=tuple(map(_opening, times, trials))), data


def _opening(time: float, trials: set[int]) -> Opening:
    when = datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
    return Opening(time=when, trials=tuple(sorted(trials)), kept=bool(trials))
