"""What a run's folder says of it: reading it, and adding to it. No torch is needed here."""

import csv
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from mnist_core import parsing
from mnist_core.errors import UserError
from mnist_core.files import write_atomically
from mnist_core.runs.run_lookup import RUN

METRICS = "metrics.csv"
RUNNING, DONE, STOPPED, FAILED = "running", "done", "interrupted", "failed"
"""``status`` in ``run.json``; of a run that was killed it stays ``running``."""

EXPORT = "export"  # ``by`` of a reading that an export was compared on; it has no figures

_TABLES = ("asked", "best", "data", "judged", "metrics", "process", "versions")


def read(folder: Path) -> dict[str, Any]:
    """Return the content of ``run.json``; raise UserError if it cannot be read or is damaged."""
    file = folder / RUN
    try:
        facts = parsing.json_text(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{file}: is damaged: {error}") from None
    problem = _problem(facts)
    if problem:
        raise UserError(f"{file}: is damaged: {problem}")
    return dict(facts)


def _problem(facts: Any) -> str:
    if not isinstance(facts, dict):
        return f"it must be a table, but is {str(facts)[:50]!r}"
    for key in _TABLES:
        if not isinstance(facts.get(key, {}), dict):
            return f"{key} must be a table, but is {str(facts[key])[:50]!r}"
    readings = facts.get("test_readings", [])
    if not isinstance(readings, list) or not all(isinstance(one, dict) for one in readings):
        return f"test_readings must be a list of tables, but is {str(readings)[:50]!r}"
    return ""


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``run.json``, the whole of it or nothing; raise UserError if it cannot be written."""
    write_atomically(folder / RUN, to_text(facts))


def to_text(facts: Mapping[str, Any]) -> str:
    """Return ``facts`` as JSON; a confusion matrix is as many lines as it has rows."""
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    # Only numbers of a list, which begin a line each: no string has a line's end inside.
    side_by_side = re.sub(r"\[\n[\d\s,.]+\]", lambda found: " ".join(found[0].split()), text)
    return side_by_side + "\n"


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return the rows of ``metrics.csv``; raise UserError if it cannot be read or is damaged."""
    file = folder / METRICS
    try:
        # What follows the last line's end is an incomplete row.
        lines = file.read_text(encoding="utf-8").split("\n")[:-1]
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]
        return [{**row, "step": int(row["step"])} for row in rows]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{file}: is damaged: {error}") from None


def add_test_reading(folder: Path, reading: Mapping[str, Any]) -> None:
    """Add a reading of the test images to ``run.json``; raise UserError if it cannot be written."""
    facts = read(folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    facts["test_readings"] = [*facts.get("test_readings", []), {"time": now, **reading}]
    write(folder, facts)


def process_mark() -> dict[str, float]:
    """Return a mark that identifies this process on this machine."""
    # The number alone would not do: the system gives it to another process later.
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def process_lives(marked: Mapping[str, float]) -> bool:
    """Return whether the process that called ``process_mark`` still runs on this machine."""
    try:
        started = psutil.Process(int(marked["pid"])).create_time()
        # Processes may reckon a start from boot times that are a second apart.
        return abs(started - marked["started"]) < 2
    except (psutil.Error, KeyError, ValueError, TypeError, OverflowError):
        return False
