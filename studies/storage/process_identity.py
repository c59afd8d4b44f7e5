"""What tells a process from another one with the same id: its start, the boot, the namespace."""

import os
from pathlib import Path

import psutil


def process_start(pid: int) -> str | None:
    """Return the start of process ``pid``, None if it does not run (any more)."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            # The command, in parentheses, may itself hold spaces and parentheses.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, start = fields[0], fields[19]
        return None if state in "ZX" else start
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def boot_id() -> str:
    """Return an identifier of this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # Minutes: without an identifier of the system, the boot time wanders with the clock.
        return f"{psutil.boot_time() / 60:.0f}"


def pid_namespace() -> str:
    """Return an identifier of the namespace of process ids, "" if the system has none.

    A container has its own, and its processes cannot be seen from outside.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
