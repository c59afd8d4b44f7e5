"""A file lock for what trackers of several trainings write at the same time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process or thread holds the lock file ``path``; not on Windows."""
    if os.name != "posix":
        yield
        return
    import fcntl  # only on POSIX

    path.parent.mkdir(parents=True, exist_ok=True)
    # The kernel lifts the lock when its holder dies.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
