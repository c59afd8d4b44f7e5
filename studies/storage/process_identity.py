"""What tells a process from another one of the same id: when it began, in which boot."""

import os
from pathlib import Path

import psutil


def process_start(pid: int) -> str | None:
    """Return when process ``pid`` began, or None if there is none (a zombie is none)."""
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
    """Return what identifies this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # Minutes: where the system gives no identifier, the boot time wanders with the clock.
        return f"{psutil.boot_time() / 60:.0f}"


def pid_namespace() -> str:
    """Return what identifies the namespace that process ids are of here, "" where there are none.

    A container has one of its own: its processes cannot be looked at from outside of it.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
