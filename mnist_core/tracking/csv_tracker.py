"""A table of all trainings, ``<runs>/runs.csv``: a line for each run."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_core.files import write_atomically
from mnist_core.tracking.base import RunEnd, RunTracker, TrackedRun
from mnist_core.tracking.locked import locked

FILE = "runs.csv"
_KEY = "identity"


def create(run: TrackedRun) -> "CsvTracker":
    """Return the tracker of ``run``."""
    return CsvTracker(run)


class CsvTracker(RunTracker):
    """The line of one training: what it is, how it ended, its last metrics, all settings."""

    def __init__(self, run: TrackedRun) -> None:
        self._run, self._file = run, run.root / FILE
        self._last: Mapping[str, float] = {}
        self._write("running")

    def report(self, row: Mapping[str, float], time: float) -> None:
        """Remember the metrics of the last report: only the end is written."""
        self._last = row

    def end(self, how: RunEnd) -> str:
        """Write the metrics of the model, and how the training ended."""
        self._write(how.state, {**how.metrics, **how.facts, "reason": how.reason})
        return str(self._file)

    def _write(self, state: str, end: Mapping[str, Any] | None = None) -> None:
        run = self._run
        began = datetime.fromtimestamp(run.began, UTC).isoformat(timespec="seconds")
        line: dict[str, Any] = {
            "name": run.name,
            "environment": run.environment,
            "state": state,
            "began": began,
        }
        line |= {**self._last, **(end or {}), **run.settings, _KEY: run.identity}
        # Trainings at the same time have one table.
        with locked(self._file.with_suffix(".lock")):
            lines = [one for one in _read(self._file) if one.get(_KEY) != run.identity]
            write_atomically(self._file, _table([*lines, line]))


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def _table(lines: list[dict[str, Any]]) -> str:
    # Trainings have different settings and metrics: a column for each that any of them has.
    columns = dict.fromkeys(name for line in reversed(lines) for name in line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
