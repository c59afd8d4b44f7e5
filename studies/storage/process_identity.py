"""What tells a process from another one with the same id: its start, the boot, the namespace.

A killed holder of a lease on this machine is detected on the next check, without heartbeat or
time-out.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

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
    """Return an identifier of the namespace of process ids, "" if the system has none."""
    # A container has its own, and its processes cannot be seen from outside.
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A process that supervises a study."""

    host: str  # name of its machine
    pid: int  # its process id there
    start: str  # of the process: clock ticks after boot (Linux), else seconds after 1970
    boot: str  # the boot of the machine that ``pid`` and ``start`` belong to
    taken: str  # when the lease was taken, ISO 8601, local time
    namespace: str = ""  # of the ``pid``, see ``pid_namespace``; "": not known
    # whether the storage says that the holder lives; None: the storage cannot know
    locked: bool | None = field(default=None, compare=False)

    @classmethod
    def of_this_process(cls) -> "Lease":
        """Return a lease for the calling process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            pid=pid,
            start=process_start(pid) or "",
            boot=boot_id(),
            taken=datetime.now().isoformat(timespec="seconds"),
            namespace=pid_namespace(),
        )

    @property
    def here(self) -> bool:
        """Whether the holder's process can be seen from here, if it lives."""
        if self.host != socket.gethostname():
            return False
        # Containers may have the same host name. A reboot ended everything before it.
        same = self.namespace in ("", pid_namespace())
        return same or self.boot != boot_id()

    @property
    def elsewhere(self) -> bool:
        """Whether the holder is on another machine or in another container, and has no lock."""
        return self.locked is None and not self.here

    @property
    def live(self) -> bool:
        """Whether the holder still runs; one elsewhere is believed to."""
        if self.locked is not None:
            return self.locked
        if self.elsewhere:
            # Until a person takes the study over (--take-over). By a heartbeat, a machine that
            # sleeps would seem dead, and two processes would write.
            return True
        return self.boot == boot_id() and self.start == process_start(self.pid)


def to_attribute(lease: Lease) -> dict[str, Any]:
    """Return ``lease`` as JSON."""
    values = asdict(lease)
    del values["locked"]
    return values


def parse_lease(value: Any) -> Lease | None:
    """Return the lease that ``to_attribute`` wrote; None: ``value`` is not one."""
    if not isinstance(value, Mapping):
        return None
    try:
        return Lease(**{**value, "locked": None})
    except TypeError:
        return None
