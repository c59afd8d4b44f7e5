"""Which process works on something, as a file can record it.

The process number alone would not do: the system gives it to another process later.
"""

import os
from collections.abc import Mapping

import psutil


def mark() -> dict[str, float]:
    """Return what tells this process from all others of this machine."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def lives(marked: Mapping[str, float]) -> bool:
    """Whether the process that ``mark`` was called by is still there, on this machine."""
    try:
        started = psutil.Process(int(marked["pid"])).create_time()
        # Processes may reckon a start from boot times that are a second apart.
        return abs(started - marked["started"]) < 2
    except (psutil.Error, KeyError, ValueError, TypeError, OverflowError):
        return False
