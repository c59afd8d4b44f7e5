"""Where the workers' time of a finished study went, computed from its event log.

    python benchmarks/overhead.py results/optim_search                # after `make study`
    python benchmarks/overhead.py results/optim_search --wall 201.3   # seconds, as `time` says

T is the sum over all trainings of search and confirmation of their ``seconds``: from handing a
task to a worker until its result is back, so with the answers to its reports. The overhead is
(workers x wall - T) / T, with wall from the log's first event to its last; with ``--wall``, from
the process's start to its exit, which no log knows. The table splits it up without remainder. Only
the last run of a study is looked at, from the last ``study`` event on.
"""

import argparse
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = 2.5
TITLE = "where the workers' time went"
_OVER = ("complete", "pruned", "failed", "lost")


@dataclass(frozen=True)
class Attempt:
    """One training; times in seconds after 1970."""

    phase: str
    begin: float
    end: float


@dataclass(frozen=True)
class Overhead:
    """Where workers x wall went, in worker-seconds.

    Attributes:
        workers: most trainings that ran at a time.
        training: T.
        parts: all else, by name.
    """

    workers: int
    training: float
    parts: Mapping[str, float]

    @property
    def per_cent(self) -> float:
        """All parts together, of T."""
        return 100 * sum(self.parts.values()) / self.training


def overhead(events: Iterable[Mapping[str, Any]], wall: float | None = None) -> Overhead:
    """Split up the time of a study's last run.

    Args:
        events: of its log, in order.
        wall: seconds from the process's start to its exit, if they are known.

    Raises:
        SystemExit: it has no finished training, or no result yet.
    """
    events = list(events)
    first = max((i for i, one in enumerate(events) if one["kind"] == "study"), default=0)
    events = events[first:]
    attempts = _attempts(events)
    if not attempts or events[-1]["kind"] != "result":
        raise SystemExit("error: the log has no finished study; run it to its end")
    phases = {
        phase: _lanes(list(ones))
        for phase, ones in itertools.groupby(attempts, key=lambda one: one.phase)
    }
    workers = max(map(len, phases.values()))
    began, ended = events[0]["time"], events[-1]["time"]
    parts: dict[str, float] = {}
    if wall is not None:
        parts["process start and exit"] = workers * (wall - (ended - began))
    before = began
    for phase, lanes in phases.items():
        first_begin = lanes[0][0].begin
        end = max(lane[-1].end for lane in lanes)
        unused = workers - len(lanes)
        parts[f"before the first training of {phase}"] = workers * (first_begin - before)
        parts[f"{phase}: workers begin later"] = sum(its[0].begin - first_begin for its in lanes)
        parts[f"{phase}: between two trainings"] = sum(
            after.begin - one.end for its in lanes for one, after in itertools.pairwise(its)
        )
        parts[f"{phase}: nothing left to begin"] = unused * (end - first_begin) + sum(
            end - its[-1].end for its in lanes
        )
        before = end
    parts["after the last training (test, files)"] = workers * (ended - before)
    return Overhead(workers, sum(one.end - one.begin for one in attempts), parts)


def _lanes(attempts: Iterable[Attempt]) -> list[list[Attempt]]:
    """Return ``attempts``, by begin, as they may have followed each other in workers.

    Not by process: the one that takes the place of a killed one is no further worker.
    """
    lanes: list[list[Attempt]] = []
    for attempt in attempts:
        free = [lane for lane in lanes if lane[-1].end <= attempt.begin]
        if free:
            max(free, key=lambda lane: lane[-1].end).append(attempt)
        else:
            lanes.append([attempt])
    return lanes


def _attempts(events: Iterable[Mapping[str, Any]]) -> list[Attempt]:
    """Return the trainings by phase and begin; one that was lost counts as long as it ran."""
    running: dict[tuple[str, int], Mapping[str, Any]] = {}
    found = []
    for event in events:
        key = (event["phase"], event["trial"])
        if event["kind"] == "start":
            running[key] = event
        elif event["kind"] in _OVER and (start := running.pop(key, None)) is not None:
            seconds = event["data"].get("seconds")
            end = event["time"] if seconds is None else start["time"] + seconds
            found.append(Attempt(event["phase"], start["time"], end))
    order = {"search": 0, "confirm": 1}
    return sorted(found, key=lambda one: (order.get(one.phase, 2), one.begin))


def report(found: Overhead) -> str:
    """Return the table and the verdict."""
    met = "met" if found.per_cent <= TARGET else "missed"
    rows = [("training (T)", found.training), *found.parts.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"{TITLE:<{width}}  worker-seconds     of T",
            *(
                f"{name:<{width}}  {seconds:>14.2f}  {100 * seconds / found.training:>5.2f} %"
                for name, seconds in rows
            ),
            "",
            f"overhead with {found.workers} workers: {found.per_cent:.2f} %"
            f" (target <= {TARGET:g} %: {met})",
        ]
    )


def main() -> None:
    """Read the log, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the study, with its events.jsonl")
    parser.add_argument("--wall", type=float, metavar="SECONDS", help="from start to exit")
    arguments = parser.parse_args()
    path = arguments.folder / "events.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SystemExit(f"error: {path}: {error.strerror}") from None
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:  # cut short by a kill
            continue
    print(report(overhead(events, arguments.wall)))


if __name__ == "__main__":
    main()
