"""The log of a study's events: one JSON object a line, in ``results/<study>/events.jsonl``.

The database is the truth: ``studies/tracking/backfill.py`` fills in what the log lost.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from studies.core.events import TRIAL_ENDS, Event, Kind
from studies.core.json_text import plain

FILE = "events.jsonl"
OVER = (*TRIAL_ENDS, "tested")  # kinds of events after which a trial has nothing more to tell

_KINDS = frozenset(get_args(Kind))
_CHUNK = 1 << 20


class EventLog:
    """A listener that writes events; it opens its file, in an existing folder, at the first one.

    If a write fails, ``say`` gets one line, which names ``sync``, the command that fills in missing
    events; the study continues.
    """

    def __init__(self, path: Path, say: Callable[[str], object], *, sync: str = "") -> None:
        self.lost = 0  # number of events that could not be written
        self._path = path
        self._say = say
        self._sync = f" or by `{sync}`" if sync else ""
        self._file: int | None = None
        self._whole = True

    def __call__(self, event: Event) -> None:
        """Append ``event``."""
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            line = to_line(event)
            if not self._whole:
                line = b"\n" + line  # ends the line that a kill cut short
            written = os.write(self._file, line)
            self._whole = written == len(line)
            if self._whole:
                return
            reason = "only a part of a line could be written"
        except OSError as error:
            reason = error.strerror or str(error)
        self.lost += 1
        if self.lost == 1:
            self._say(
                f"{self._path}: cannot be written: {reason}; the study continues, and what is"
                f" missing there is filled in at its end{self._sync}"
            )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        # Without a buffer: each event is one write, and others read meanwhile.
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(self._file).st_size
        self._whole = size == 0 or os.pread(self._file, 1, size - 1) == b"\n"


class Tail:
    """Reads a log that may still grow, or is not there yet.

    Attributes:
        damaged: number of skipped lines that are not events.
        offset: bytes read so far.
    """

    def __init__(self, path: Path) -> None:
        self.damaged, self.offset = 0, 0
        self._path = path
        self._rest = b""

    def read(self) -> Iterator[Event]:
        """Yield events since the last call, but no half line; raise OSError if it is unreadable."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self.offset)
            while chunk := file.read(_CHUNK):
                self.offset += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    event = from_line(line)
                    if event is not None:
                        yield event
                    elif line.strip():
                        self.damaged += 1


@dataclass(frozen=True)
class Contents:
    """What a whole log holds."""

    # phase and number of each trial whose end it has
    over: frozenset[tuple[str, int]] = frozenset()
    study: str = ""  # the id in the first ``study`` event, or ""
    concluded: bool = False  # whether a ``result`` event follows the last of those ends
    damaged: int = 0  # number of lines that are not events
    # number of retries of each trial that was run again after its end
    retried: Mapping[tuple[str, int], int] = field(default_factory=dict)


def survey(path: Path) -> Contents:
    """Read a whole log; raise ``OSError`` if it is there, but cannot be read."""
    tail, over, study, concluded = Tail(path), set(), "", False
    retried: Counter[tuple[str, int]] = Counter()
    for event in tail.read():
        if event.kind in OVER and event.trial is not None:
            over.add((event.phase, event.trial))
            concluded = False
        elif event.kind == "lost" and (event.phase, event.trial) in over:
            key = (event.phase, cast(int, event.trial))
            over.discard(key)
            retried[key] += 1
            concluded = False
        elif event.kind == "study" and not study:
            study = str(event.data.get("id", ""))
        elif event.kind == "result":
            concluded = True
    return Contents(frozenset(over), study, concluded, tail.damaged, retried)


def identity_in(path: Path) -> str:
    """Return the id in the first ``study`` event, or ""; raise OSError if it is unreadable."""
    named = (str(e.data.get("id", "")) for e in Tail(path).read() if e.kind == "study")
    return next(filter(None, named), "")


def last_study(path: Path) -> Mapping[str, Any]:
    """Return the data of the last ``study`` event, or {}; raise OSError if it is unreadable."""
    data: Mapping[str, Any] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                # Reading every line as JSON takes seconds for a log of 100 MB.
                event = from_line(line) if b'"study"' in line else None
                if event is not None and event.kind == "study":
                    data = event.data
    except FileNotFoundError:
        pass
    return data


def to_line(event: Event) -> bytes:
    """Return ``event`` as a line; numbers that are not finite become null."""
    content: dict[str, Any] = {
        "time": round(event.time, 4),
        "kind": event.kind,
        "phase": event.phase,
        "trial": event.trial,
        "data": plain(event.data),
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace") + b"\n"


def from_line(line: bytes) -> Event | None:
    """Return the event of a line, None if the line is not an event."""
    try:
        content = json.loads(line)
        kind, phase, trial = content["kind"], content["phase"], content["trial"]
        data, time = content["data"], content["time"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(kind, str) or kind not in _KINDS:
        return None
    if not isinstance(phase, str) or not isinstance(data, dict):
        return None
    if not (trial is None or type(trial) is int) or not isinstance(time, int | float):
        return None
    return Event(kind=cast(Kind, kind), phase=phase, trial=trial, data=data, time=float(time))
