"""Programs that end in time: what a program has printed when its time is over still counts."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import Result

GRACE = 5.0
"""Seconds between the request to stop and the kill."""

_PATH = os.pathsep.join([str(measure.ROOT), str(measure.HERE)])


@dataclass(frozen=True)
class Ran:
    """What came of one program.

    Attributes:
        rows: the JSON objects that it printed, one a line.
        text: everything that it printed, errors included.
        seconds: until it was gone.
        trouble: why it did not end well; empty if it did.
    """

    rows: list[Result]
    text: str
    seconds: float
    trouble: str


class Clock:
    """The time that is left for the whole command."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until the end, at least 0."""
        return max(0.0, self._end - time.monotonic())


def run(
    command: Sequence[object],
    seconds: float,
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run ``command`` from the repository for at most ``seconds``; append its output to ``log``."""
    words = [str(word) for word in command]
    began = time.monotonic()
    if seconds <= 0:
        return Ran([], "", 0.0, "no time was left for it")
    with log.open("a+", encoding="utf-8", errors="replace") as file:
        file.write(f"\n$ {' '.join(words)}\n")
        file.flush()
        start = file.tell()
        process = subprocess.Popen(
            words,
            cwd=measure.ROOT,
            env={**os.environ, "PYTHONPATH": _PATH, **(environment or {})},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its workers end with it
        )
        code = _wait(process, seconds)
        file.seek(start)
        text = file.read()
    took = time.monotonic() - began
    trouble = ""
    if code is None:
        trouble = f"stopped after its {seconds:.0f} s"
    elif code:
        trouble = f"ended with {code}: {_last_line(text)}"
    return Ran(_rows(text), text, took, trouble)


def program(name: str, *arguments: object) -> list[object]:
    """Return the command that runs a program below ``benchmarks/`` with this Python."""
    return [sys.executable, "-u", measure.HERE / name, *arguments]


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Return the exit code; None if the time was over. Nothing of the program is left behind."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        for sign in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _rows(text: str) -> list[Result]:
    rows = []
    for line in text.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(ValueError):  # a line that the end of the time cut off
                rows.append(json.loads(line))
    return rows


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it printed nothing"
